"""An engine that answers from a script: for tests, yours and ours, without any model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeAlias

from dashscope_oss.gateway.interface.api_error import TOO_MANY_REQUESTS, APIError, InvalidParameter
from dashscope_oss.gateway.interface.engine import DropConnection
from dashscope_oss.gateway.interface.engine_request import EngineRequest, RecordedRequest
from dashscope_oss.messages import Delta, Json, SearchResult, ToolCall, Usage
from dashscope_oss.registry import lookup
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.tokens import estimates

_PIECE_CHARACTERS = 8
_MAX_HOLD = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A prepared answer.

    Attributes:
        text: the whole text.
        pieces: the pieces in which a stream sends it; by default eight characters each.
        reasoning: thinking that comes before the text, in one piece.
        tool_calls: tool calls, each in one piece.
        finish_reason: why the answer ends.
        usage: token counts; if ``None``, estimated counts are reported.
        pause: seconds before each piece but the first.
        logprobs: log probabilities of the tokens, for calls that ask for them; they come with the
            last piece.
        search_results: web pages that the answer names, in its first piece.
        images: addresses of images in the answer, in its last piece.
        hold: the last piece is not sent before this is set (or ten seconds have passed).
    """

    text: str = ""
    pieces: tuple[str, ...] | None = None
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    usage: Usage | None = None
    pause: float = 0.0
    logprobs: Json | None = None
    search_results: tuple[SearchResult, ...] = ()
    images: tuple[str, ...] = ()
    hold: threading.Event | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """The pieces of the text."""
        if self.pieces is not None:
            return self.pieces
        starts = range(0, len(self.text), _PIECE_CHARACTERS)
        return tuple(self.text[start : start + _PIECE_CHARACTERS] for start in starts)


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure; by default the service's answer to too many requests.

    Attributes:
        status: HTTP status, or that of the error event.
        code: the vendor's code.
        message: the vendor's text.
        after: pieces ("piece 1 ", "piece 2 " and so on) that a stream sends first.
        cut: break the connection instead of sending an error.
    """

    status: int = TOO_MANY_REQUESTS[0]
    code: str = TOO_MANY_REQUESTS[1]
    message: str = TOO_MANY_REQUESTS[2]
    after: int | None = None
    cut: bool = False


ScriptEntry: TypeAlias = Answer | Fault | Callable[[EngineRequest], "Answer | Fault"]


class ScriptedEngine:
    """Answers each request with the next entry of its script; the last entry repeats.

    Args:
        script: the entries; an engine without any repeats the caller's question.

    Attributes:
        requests: what arrived, in order, if the gateway's ``on_request`` appends it here.
        base_url: where to point a model; set by whoever serves the engine.
    """

    def __init__(self, script: Sequence[ScriptEntry] = ()) -> None:
        self._script: Sequence[ScriptEntry] = script or (_repeat_question,)
        self._next = 0
        self.requests: list[RecordedRequest] = []
        self.base_url = ""

    async def start(self) -> None:
        """Do nothing: a script is always ready."""

    async def aclose(self) -> None:
        """Do nothing: a script holds nothing."""

    def find_model(self, model: str) -> ModelInfo | None:
        """Return the record of ``model``: every model in the registry is served."""
        return lookup.known_model(model)

    def models(self) -> list[ModelInfo]:
        """Return every model in the registry."""
        return lookup.all_models()

    def weights_name(self, model_info: ModelInfo) -> str:
        """Return a text that says that no weights answer."""
        return "none (scripted)"

    async def generate(self, request: EngineRequest) -> AsyncGenerator[Delta, None]:
        """Yield the next entry's answer, or fail as it says."""
        entry = self._script[min(self._next, len(self._script) - 1)]
        self._next += 1
        result = entry(request) if callable(entry) else entry
        pieces = _fail(result) if isinstance(result, Fault) else _answer(request, result)
        async with aclosing(pieces) as deltas:
            async for delta in deltas:
                yield delta


async def _fail(fault: Fault) -> AsyncGenerator[Delta, None]:
    for number in range(fault.after or 0):
        yield Delta(text=f"piece {number + 1} ")
    if fault.cut:
        raise DropConnection
    raise APIError(fault.status, fault.code, fault.message)


async def _answer(request: EngineRequest, answer: Answer) -> AsyncGenerator[Delta, None]:
    logprobs = answer.logprobs if request.parameters.get("logprobs") else None
    if request.parameters.get("logprobs") and logprobs is None:
        raise InvalidParameter("logprobs is not supported: the answer in the script has none.")
    usage = answer.usage or _estimate_usage(request, answer)
    if answer.search_results:
        yield Delta(search_results=answer.search_results, usage=usage)
    if answer.reasoning:
        yield Delta(reasoning=answer.reasoning, usage=usage)
    for index, part in enumerate(answer.parts):
        if index and answer.pause:
            await asyncio.sleep(answer.pause)
        if index and index == len(answer.parts) - 1 and answer.hold is not None:
            await asyncio.to_thread(answer.hold.wait, _MAX_HOLD)
        yield Delta(text=part, usage=usage)
    for call in answer.tool_calls:
        yield Delta(tool_calls=(call,), usage=usage)
    finish_reason = "tool_calls" if answer.tool_calls else answer.finish_reason
    yield Delta(
        finish_reason=finish_reason,
        usage=usage,
        logprobs=logprobs,
        images=answer.images,
        last=True,
    )


def _repeat_question(request: EngineRequest) -> Answer:
    return Answer(f"You said: {_last_question(request)}")


def _last_question(request: EngineRequest) -> str:
    messages, template = request.messages, request.model_info.template
    if messages is None and template is not None and request.prompt is not None:
        messages = tuple(template.parse(request.prompt) or ())
    questions = [message.content for message in messages or () if message.role == "user"]
    return questions[-1] if questions else request.prompt or ""


def _estimate_usage(request: EngineRequest, answer: Answer) -> Usage:
    question, text = "".join(request.texts), "".join(answer.parts)
    return estimates.estimate_usage(question, text, request.model_info.tokenizer)
