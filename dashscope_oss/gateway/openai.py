"""Engines behind the OpenAI-compatible protocol: vLLM, SGLang, llama.cpp, Ollama, and our own.

One translation serves all. A conversation goes to ``/chat/completions``. A prompt of a
prompt-only model goes to ``/completions`` as it was sent, for real weights know their own marks.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import httpx

from dashscope_oss import models, tokens
from dashscope_oss.endpoint import checked_url
from dashscope_oss.errors import ProtocolError, UnsupportedInputError
from dashscope_oss.gateway.job import Job
from dashscope_oss.gateway.refusals import UNAVAILABLE, Refusal
from dashscope_oss.messages import Delta, Message, ToolCall, Usage
from dashscope_oss.record import ModelInfo
from dashscope_oss.reply import decode, error_body, error_in
from dashscope_oss.sse import Decoder

Api: TypeAlias = Literal["auto", "chat", "completions"]

_SAME_NAMES = (
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "presence_penalty",
    "repetition_penalty",
    "max_tokens",
    "max_completion_tokens",
    "reasoning_effort",
    "stop",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
)
# Reasons of servers -> the service's. Any other is no regular end.
_FINISH = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
_TOO_LONG = ("context length", "context size", "context window", "maximum context")
_BLOCKED = (
    "DataInspectionFailed",
    "Output data may contain inappropriate content.",
)
_log = logging.getLogger("dashscope_oss.gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """An OpenAI-compatible server.

    Attributes:
        url: its base, ending in ``/v1``.
        api_key: what it asks for, if anything.
        names: served model id -> the server's own name for the weights.
        default: the server's name for every id that ``names`` lacks; ``None`` serves only those.
        api: ``chat`` or ``completions`` for every model; ``auto`` decides by the record.
        timeout: seconds between two pieces of an answer.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)
    names: Mapping[str, str] = field(default_factory=dict)
    default: str | None = None
    api: Api = "auto"
    timeout: float = 300.0


class OpenAIEngine:
    """Passes jobs on to an OpenAI-compatible server.

    Attributes:
        context: tokens that the weights take, if this engine knows.
    """

    context: int | None = None

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._http: httpx.AsyncClient | None = None

    async def start(self) -> None:
        """Open the connections' pool; the server itself may come up later."""
        key = self._upstream.api_key
        self._http = httpx.AsyncClient(
            base_url=checked_url(self._upstream.url, "--upstream", like="http://HOST:8000/v1"),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(self._upstream.timeout, connect=10.0),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()

    def record_of(self, model: str) -> ModelInfo | None:
        """Return the record of ``model`` if it is served; a conservative one for a new id."""
        if self._upstream.default is None and model not in self._upstream.names:
            return None
        return models.known_model(model) or _new(model)

    def models(self) -> list[ModelInfo]:
        """Return what is served by name; with a default, any other id is served too."""
        named = [models.known_model(id) or _new(id) for id in self._upstream.names]
        if self._upstream.default is None:
            return named
        return [*models.all_models(), *(r for r in named if models.known_model(r.id) is None)]

    def weights_of(self, record: ModelInfo) -> str:
        """Return the server's name for the weights."""
        return self._upstream.names.get(record.id) or self._upstream.default or record.id

    async def generate(self, job: Job) -> AsyncGenerator[Delta, None]:
        """Yield the server's answer in pieces."""
        path, body = self._call(job)
        answer = _Answer()
        try:
            response = await self._open(path, body)
            try:
                if response.is_error:
                    raise _refusal(response, await response.aread(), self.context)
                async for data in _objects(response.aiter_bytes()):
                    if delta := answer.push(data):
                        yield delta
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            _log.error("no answer from %s: %s", self._upstream.url, type(error).__name__)
            raise Refusal(*UNAVAILABLE) from error
        yield answer.end()

    async def _open(self, path: str, body: Mapping[str, object]) -> httpx.Response:
        try:
            return await self._send(path, body)
        except httpx.RemoteProtocolError:
            # The server closed a kept connection just as it was used again: a new one will do.
            return await self._send(path, body)

    async def _send(self, path: str, body: Mapping[str, object]) -> httpx.Response:
        if self._http is None:
            raise RuntimeError("start() was not called")
        return await self._http.send(self._http.build_request("POST", path, json=body), stream=True)

    def _call(self, job: Job) -> tuple[str, dict[str, object]]:
        """Return path and body for ``job``."""
        common = self._common(job)
        if self._completes(job):
            try:
                return "completions", {**common, **_completion(job)}
            except UnsupportedInputError as error:
                raise Refusal(400, "InvalidParameter", error.message) from error
        return "chat/completions", {
            **common,
            "messages": [_wire_message(message) for message in self._messages(job)],
        }

    def _completes(self, job: Job) -> bool:
        if self._upstream.api == "auto":
            return not job.record.takes_messages
        return self._upstream.api == "completions"

    def _messages(self, job: Job) -> list[Message]:
        """The turns of the job; a prompt in its family's form is turned back into turns."""
        if job.messages is not None or job.prompt is None:
            return list(job.messages or ())
        template = job.record.template
        turns = template.parse(job.prompt) if template is not None else None
        return turns or [Message("user", job.prompt)]

    def _common(self, job: Job) -> dict[str, object]:
        given = {name: job.parameters[name] for name in _SAME_NAMES if name in job.parameters}
        return {
            "model": self.weights_of(job.record),
            "stream": True,
            "stream_options": {"include_usage": True},
            **{name: value for name, value in given.items() if value is not None},
            **_thinking(job),
        }


def _new(id: str) -> ModelInfo:
    """The record of an id that the registry lacks: the server behind it decides what it can."""
    return ModelInfo(
        id=id, family="unknown", maker="unknown", tools=True, thinking="unknown", source="--model"
    )


def _thinking(job: Job) -> dict[str, object]:
    names = ("enable_thinking", "thinking_budget")
    said = {name: job.parameters[name] for name in names if job.parameters.get(name) is not None}
    return {"chat_template_kwargs": said} if said else {}


def _completion(job: Job) -> dict[str, object]:
    template = job.record.template
    prompt = job.prompt
    if prompt is None:
        if template is None:
            raise Refusal(
                400, "InvalidParameter", "No template is known to write messages for this model."
            )
        # The engine's tokenizer opens the text with this mark by itself.
        prompt = template.render(job.messages or ()).removeprefix(template.bos)
    asked = job.parameters.get("stop")
    own = list(template.stop) if template else []
    given = [asked] if isinstance(asked, str) else asked if isinstance(asked, list) else []
    stop = [*given, *own]
    found: dict[str, object] = {"prompt": prompt}
    if stop:
        found["stop"] = stop
    if job.parameters.get("max_tokens") is None:
        found["max_tokens"] = _room(job.record, prompt)
    return found


def _room(record: ModelInfo, prompt: str) -> int:
    """Tokens for an answer of which no length was asked: servers' own default is sixteen."""
    window = record.context_window or 2048
    used = tokens.estimate(prompt, record.tokenizer) * 6 // 5
    return max(64, min(record.max_output or 1024, window - used))


def _wire_message(message: Message) -> dict[str, object]:
    found: dict[str, object] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        found["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        found["tool_call_id"] = message.tool_call_id
    return found


async def _objects(chunks: AsyncIterator[bytes]) -> AsyncGenerator[dict[str, object], None]:
    decoder = Decoder()
    async for chunk in chunks:
        for event in decoder.feed(chunk):
            if event.data != b"[DONE]":
                yield _object(event.data)
    for event in decoder.flush():
        if event.data != b"[DONE]":
            yield _object(event.data)


def _object(data: bytes) -> dict[str, object]:
    try:
        found = decode(data)
    except ProtocolError as error:
        raise Refusal(500, "InternalError", "The engine's answer cannot be read.") from error
    if "error" in found:
        _log.error("the engine failed: %s", found["error"])
        raise Refusal(500, "InternalError.Algo", "The engine failed while it answered.")
    return found


class _Answer:
    """Turns an OpenAI-compatible stream's objects into deltas."""

    def __init__(self) -> None:
        self._reason: str | None = None
        self._usage: Usage | None = None

    def push(self, data: Mapping[str, object]) -> Delta | None:
        self._usage = _usage(data) or self._usage
        choices = data.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
            return None
        choice = choices[0]
        reason = choice.get("finish_reason")
        self._reason = reason if isinstance(reason, str) else self._reason
        return self._delta(choice)

    def end(self) -> Delta:
        """Return the last delta; an answer without a finish reason was cut off."""
        if self._reason is None:
            raise Refusal(500, "InternalError", "The engine broke off its answer.")
        if self._reason == "content_filter":
            raise Refusal(400, *_BLOCKED)
        reason = _FINISH.get(self._reason)
        if reason is None:
            raise Refusal(500, "InternalError", f"The engine ended with {self._reason:.50}.")
        return Delta(finish_reason=reason, usage=self._usage, last=True)

    def _delta(self, choice: Mapping[str, object]) -> Delta | None:
        holder = choice.get("delta", choice)
        if not isinstance(holder, Mapping):
            return None
        text = holder.get("content") or holder.get("text")
        reasoning = holder.get("reasoning_content") or holder.get("reasoning")
        found = Delta(
            text=text if isinstance(text, str) else "",
            reasoning=reasoning if isinstance(reasoning, str) else "",
            tool_calls=_calls(holder.get("tool_calls")),
            usage=self._usage,
        )
        return found if found.text or found.reasoning or found.tool_calls else None


def _calls(calls: object) -> tuple[ToolCall, ...]:
    found = []
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function") or {}
        found.append(
            ToolCall(
                id=call.get("id") or "",
                name=function.get("name") or "",
                arguments=function.get("arguments") or "",
                index=call.get("index"),
            )
        )
    return tuple(found)


def _usage(data: Mapping[str, object]) -> Usage | None:
    """The counts so far: the server's usage, or llama.cpp's timings while it still writes."""
    usage, timings = data.get("usage"), data.get("timings")
    if isinstance(usage, Mapping):
        given, made = usage.get("prompt_tokens"), usage.get("completion_tokens")
    elif isinstance(timings, Mapping):
        given = _whole(timings.get("prompt_n")) + _whole(timings.get("cache_n"))
        made = timings.get("predicted_n")
    else:
        return None
    if not isinstance(given, int) or not isinstance(made, int):
        return None
    return Usage(input_tokens=given, output_tokens=made, total_tokens=given + made)


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _refusal(response: httpx.Response, body: bytes, context: int | None) -> Refusal:
    status = response.status_code
    data = error_body(body) or {}
    text = error_in(data, status_code=status).message
    _log.error("the engine refused a call with status %s: %s", status, text)
    if status == 429:
        return Refusal(
            429, "Throttling.RateQuota", "Requests rate limit exceeded, try again later."
        )
    if status in (502, 503, 504):
        return Refusal(*UNAVAILABLE)
    if status == 404:
        return Refusal(404, "ModelNotFound", "Model can not be found.")
    if status in (400, 413, 422) and any(part in text.lower() for part in _TOO_LONG):
        said = f"{context}], the stand-in's limit" if context else f"N]. {text}"
        return Refusal(400, "InvalidParameter", f"Range of input length should be [1, {said}")
    if status in (400, 422):
        return Refusal(
            400, "InvalidParameter", f"<400> InternalError.Algo.InvalidParameter: {text}"
        )
    return Refusal(500, "InternalError", "The engine behind this gateway failed.")
