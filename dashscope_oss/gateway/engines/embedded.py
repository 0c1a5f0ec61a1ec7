"""The embedded engine: a small real language model inside this process, on the CPU.

It is a stand-in for weights that a laptop cannot hold, and every reply says so. A raw prompt in a
family's form is read back into messages, because the stand-in does not know that family's marks.
To serve the real weights, use the ``openai`` engine.
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
from dashscope_oss.gateway.engines import weights
from dashscope_oss.gateway.engines.openai.engine import OpenAIEngine
from dashscope_oss.gateway.engines.openai.upstream import Upstream
from dashscope_oss.gateway.interface.api_error import InvalidParameter
from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.gateway.interface.served_models import with_tools
from dashscope_oss.messages import Delta, Message, ToolCall
from dashscope_oss.protocol.streaming.deltas import join_deltas
from dashscope_oss.protocol.tools import function_name
from dashscope_oss.registry import lookup
from dashscope_oss.registry.model_info import ModelInfo

CONTEXT = 8192
"""Tokens that the stand-in takes, input and output together."""
_DEFAULT_MAX_TOKENS = 512
_NO_FREE_CHOICE = (
    "The tool call is not supported. (The embedded stand-in fills in a tool that tool_choice "
    "forces, but chooses none by itself; serve real weights with --engine openai.)"
)


class EmbeddedEngine(OpenAIEngine):
    """Runs a GGUF model with llama.cpp in this process.

    Args:
        gguf: your own model file; if ``None``, SmolLM2-135M-Instruct, fetched once and checked.
        threads: CPU threads; by default one fewer than there are cores, and at least one. On a
            busy small machine a second thread makes the model many times slower.
    """

    context = CONTEXT

    def __init__(self, gguf: Path | None = None, *, threads: int | None = None) -> None:
        self._gguf = gguf
        self._threads = threads or max(1, (os.cpu_count() or 1) - 1)
        self._server: object | None = None
        self._name = gguf.stem if gguf else weights.NAME
        super().__init__(self._upstream_at("http://127.0.0.1", None))

    async def start(self) -> None:
        """Fetch the weights if they are missing, load them and answer once to warm up.

        Raises:
            ConfigurationError: if the weights cannot be fetched or loaded.
        """
        file = await asyncio.to_thread(self._model_file)
        key = secrets.token_hex(16)
        self._server, url = await asyncio.to_thread(_load, file, self._threads, key)
        self._upstream = self._upstream_at(url, key)
        await super().start()
        try:
            await self._warm_up()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Free the model."""
        await super().aclose()
        self._server = None

    async def _warm_up(self) -> None:
        model_info = ModelInfo(id="warm-up", family="", maker="")
        request = EngineRequest(model_info=model_info, prompt="Hi", parameters={"max_tokens": 1})
        async with aclosing(self.generate(request)) as deltas:
            async for _ in deltas:
                pass

    def _upstream_at(self, url: str, key: str | None) -> Upstream:
        return Upstream(
            url=f"{url}/v1",
            name="embedded",
            kind="llama.cpp",
            api_key=key,
            default=self._name,
            api="chat",
        )

    def _model_file(self) -> Path:
        return weights.check_gguf(self._gguf) if self._gguf else weights.fetch()

    def find_model(self, model: str) -> ModelInfo | None:
        """Return the record of ``model``: the stand-in answers for every one in the registry."""
        model_info = lookup.known_model(model)
        return model_info and replace(with_tools(model_info), modalities=("text",))

    def models(self) -> list[ModelInfo]:
        """Return every model in the registry."""
        return lookup.all_models()

    def weights_name(self, model_info: ModelInfo) -> str:
        """Return the name of the stand-in, never that of the model itself."""
        return f"{self._name} (stand-in for {model_info.id})"

    async def generate(self, request: EngineRequest) -> AsyncGenerator[Delta, None]:
        """Yield the stand-in's answer; a forced tool call is written by the tool's JSON schema."""
        if request.parameters.get("tools"):
            answer = self._call_forced_tool(request)
        else:
            answer = super().generate(request)
        async with aclosing(answer) as deltas:
            async for delta in deltas:
                yield delta

    async def _call_forced_tool(self, request: EngineRequest) -> AsyncGenerator[Delta, None]:
        name, arguments_request = _request_for_arguments(request)
        async with aclosing(super().generate(arguments_request)) as deltas:
            answer = join_deltas([delta async for delta in deltas])
        call = ToolCall(f"call_{secrets.token_hex(8)}", name, answer.text, 0)
        yield Delta(tool_calls=(call,), usage=answer.usage)
        # Arguments that max_tokens cut off are none to call a function with.
        reason = "length" if answer.finish_reason == "length" else "tool_calls"
        yield Delta(finish_reason=reason, usage=answer.usage, last=True)

    def _messages(self, request: EngineRequest) -> Sequence[Message]:
        # A family's marks leave white space around the messages, which disturbs another model.
        messages = super()._messages(request)
        return [
            message if message.partial else replace(message, content=message.content.strip())
            for message in messages
        ]

    def _with_defaults(self, body: dict[str, object]) -> dict[str, object]:
        return {"max_tokens": _DEFAULT_MAX_TOKENS, **body}


def _request_for_arguments(request: EngineRequest) -> tuple[str, EngineRequest]:
    """Return the function that must be called, and a request for its arguments as JSON."""
    name, tools = function_name(request.parameters.get("tool_choice")), request.parameters["tools"]
    candidates = tools if isinstance(tools, list) else []
    tool = next((tool for tool in candidates if function_name(tool) == name), None)
    if name is None or tool is None:
        raise InvalidParameter(_NO_FREE_CHOICE)
    schema = {"name": name, "schema": tool["function"].get("parameters") or {"type": "object"}}
    parameters = {k: v for k, v in request.parameters.items() if not k.startswith("tool")}
    parameters["response_format"] = {"type": "json_schema", "json_schema": schema}
    return name, replace(request, parameters=parameters)


def _load(file: Path, threads: int, key: str) -> tuple[object, str]:
    """Load a model file; return the server in this process and its address."""
    try:
        import xllamacpp  # noqa: PLC0415 - only where the extra is installed
    except ImportError as error:
        raise ConfigurationError(weights.NOT_INSTALLED) from error
    settings = xllamacpp.CommonParams()
    settings.model.path = str(file)
    settings.n_ctx = CONTEXT
    # A second slot would halve the context, and makes nothing faster on a small machine.
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
            f"llama.cpp cannot load the model file {file} ({error}). The file may be cut off "
            "(compare its size with the original), too big for this machine's memory, or in a "
            "newer format than this version of xllamacpp knows"
        ) from error
    return server, server.listening_address


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
