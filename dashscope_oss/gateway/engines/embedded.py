"""The embedded engine: a small real language model inside this process, on the CPU.

It is a stand-in for weights that a laptop cannot hold, and says so in every reply. A raw prompt
of a family is turned back into turns, because the stand-in knows that family's marks no better
than a stranger does; real weights belong behind the ``openai`` engine.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.gateway.api_error import APIError
from dashscope_oss.gateway.engines import weights
from dashscope_oss.gateway.engines.engine_request import EngineRequest
from dashscope_oss.gateway.engines.openai.engine import OpenAIEngine
from dashscope_oss.gateway.engines.openai.upstream import Upstream
from dashscope_oss.messages import Delta, Message, ToolCall
from dashscope_oss.protocol.streaming.deltas import join_deltas
from dashscope_oss.registry import lookup
from dashscope_oss.registry.model_info import ModelInfo

CONTEXT = 8192
"""Tokens of the stand-in, for input and output together."""
_DEFAULT_ANSWER = 512
_NO_TOOLS = (
    "The tool call is not supported. (The embedded stand-in fills in a tool that tool_choice "
    "forces, but chooses none by itself; serve real weights with --engine openai.)"
)


class EmbeddedEngine(OpenAIEngine):
    """Runs a GGUF model with llama.cpp in this process.

    Args:
        gguf: a model file of yours; else SmolLM2-135M-Instruct, fetched once and checked.
        threads: CPU threads; by default one on two cores or fewer, else one less than there are.
            On a busy small machine a second thread makes it many times slower.
    """

    context = CONTEXT

    def __init__(self, gguf: Path | None = None, *, threads: int | None = None) -> None:
        self._gguf = gguf
        self._threads = threads or max(1, (os.cpu_count() or 1) - 1)
        self._server: object | None = None
        self._name = gguf.stem if gguf else weights.NAME
        super().__init__(self._reached("http://127.0.0.1", None))

    async def start(self) -> None:
        """Fetch the weights if need be, load them and answer one question to warm up."""
        file = await asyncio.to_thread(self._file)
        key = secrets.token_hex(16)
        self._server, url = await asyncio.to_thread(_load, file, self._threads, key)
        self._upstream = self._reached(url, key)
        await super().start()
        warm_up = ModelInfo(id="warm-up", family="", maker="")
        job = EngineRequest(model_info=warm_up, prompt="Hi", parameters={"max_tokens": 1})
        async for _ in self.generate(job):
            pass

    def _reached(self, url: str, key: str | None) -> Upstream:
        return Upstream(
            url=f"{url}/v1",
            name="embedded",
            kind="llama.cpp",
            api_key=key,
            default=self._name,
            api="chat",
        )

    def _file(self) -> Path:
        return weights.check_gguf(self._gguf) if self._gguf else weights.fetch()

    async def aclose(self) -> None:
        """Free the model."""
        await super().aclose()
        self._server = None

    def find_model(self, model: str) -> ModelInfo | None:
        """Every model in the registry has the one stand-in."""
        return lookup.known_model(model)

    def weights_name(self, model_info: ModelInfo) -> str:
        """Name the stand-in, never the model asked."""
        return f"{self._name} (stand-in for {model_info.id})"

    async def generate(self, job: EngineRequest) -> AsyncGenerator[Delta, None]:
        """Yield the stand-in's answer; a forced tool is answered through its schema."""
        if not job.parameters.get("tools"):
            async with aclosing(super().generate(job)) as deltas:
                async for delta in deltas:
                    yield delta
            return
        name, forced = _forced(job)
        async with aclosing(super().generate(forced)) as deltas:
            parts = [delta async for delta in deltas]
        call = ToolCall(f"call_{secrets.token_hex(8)}", name, join_deltas(parts).text, 0)
        yield Delta(tool_calls=(call,), usage=parts[-1].usage)
        yield Delta(finish_reason="tool_calls", usage=parts[-1].usage, last=True)

    def models(self) -> list[ModelInfo]:
        """Return every model in the registry."""
        return lookup.all_models()

    def _turns(self, job: EngineRequest) -> Sequence[Message]:
        # Marks of a family leave white space around turns that means nothing to a stranger.
        return [replace(turn, content=turn.content.strip()) for turn in super()._turns(job)]

    def _completed(self, body: dict[str, object]) -> dict[str, object]:
        return {"max_tokens": _DEFAULT_ANSWER, **body}


def _forced(job: EngineRequest) -> tuple[str, EngineRequest]:
    """Return the function that must be called, and the job that asks for its arguments as JSON."""
    choice = job.parameters.get("tool_choice")
    wanted = choice["function"]["name"] if isinstance(choice, dict) else None
    tools = job.parameters["tools"]
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function", {})
        if wanted is not None and function.get("name") == wanted:
            schema = {"name": wanted, "schema": function.get("parameters") or {"type": "object"}}
            kept = {k: v for k, v in job.parameters.items() if not k.startswith("tool")}
            kept["response_format"] = {"type": "json_schema", "json_schema": schema}
            return wanted, replace(job, parameters=kept)
    raise APIError(400, "InvalidParameter", _NO_TOOLS)


def _load(file: Path, threads: int, key: str) -> tuple[object, str]:
    try:
        import xllamacpp  # noqa: PLC0415 - only where the extra is installed
    except ImportError as error:
        raise ConfigurationError(
            'the embedded engine is not installed: pip install "dashscope-oss[local]"'
        ) from error
    settings = xllamacpp.CommonParams()
    settings.model.path = str(file)
    settings.n_ctx = CONTEXT
    # A second slot would halve the context and make nothing faster on a small machine.
    settings.n_parallel = 1
    settings.hostnames = ["127.0.0.1"]
    settings.port = _free_port()
    settings.api_keys = [key]
    settings.ui = False
    settings.verbosity = 0
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    try:
        server = xllamacpp.Server(settings)
    except RuntimeError as error:
        raise ConfigurationError(
            f"llama.cpp cannot load the model file {file} ({error}). It may be cut off (compare "
            "its size with where it came from), too big for this memory, or of a newer form than "
            "this xllamacpp knows"
        ) from error
    return server, server.listening_address


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
