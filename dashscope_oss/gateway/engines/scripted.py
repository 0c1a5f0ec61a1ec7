"""An engine that answers from a script: for tests of yours and ours, with no model at all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dashscope_oss.gateway.api_error import APIError
from dashscope_oss.gateway.engines.engine import DropConnection
from dashscope_oss.gateway.engines.engine_request import EngineRequest, RecordedRequest
from dashscope_oss.messages import Delta, ToolCall, Usage
from dashscope_oss.registry import lookup
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.tokens import estimates

_PIECE = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """A canned answer.

    Attributes:
        text: what is said.
        pieces: how a stream cuts it; eight characters each if not said.
        reasoning: thinking that comes before it, in one piece.
        tool_calls: calls of tools, each in one piece.
        finish_reason: how it ends.
        usage: token counts; ``None`` is reported as an estimate.
        pause: seconds before each piece but the first.
        hold: before the last piece, waits until this is set (ten seconds at most).
    """

    text: str = ""
    pieces: tuple[str, ...] | None = None
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    usage: Usage | None = None
    pause: float = 0.0
    hold: threading.Event | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """The pieces of the text."""
        if self.pieces is not None:
            return self.pieces
        return tuple(self.text[i : i + _PIECE] for i in range(0, len(self.text), _PIECE))


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure, by default the one for too many requests.

    Attributes:
        status: HTTP status, or that of the error event.
        code: the vendor's code.
        message: the vendor's text.
        after: pieces ("piece 1 ", "piece 2 " …) that a stream sends first; ``None``: none.
        cut: break the connection instead of saying anything.
    """

    status: int = 429
    code: str = "Throttling.RateQuota"
    message: str = "Requests rate limit exceeded, try again later."
    after: int | None = None
    cut: bool = False


ScriptEntry: TypeAlias = Answer | Fault | Callable[[EngineRequest], "Answer | Fault"]


class ScriptedEngine:
    """Answers one entry a request; the last repeats. Without a script it repeats the question.

    Attributes:
        requests: what came in, in order, if the gateway's ``on_request`` appends here.
        base_url: set by whoever serves it.
    """

    def __init__(self, script: Sequence[ScriptEntry] = ()) -> None:
        self._script: Sequence[ScriptEntry] = script or (_parrot,)
        self._next = 0
        self.requests: list[RecordedRequest] = []
        self.base_url = ""

    async def start(self) -> None:
        """Nothing to get ready."""

    async def aclose(self) -> None:
        """Nothing to let go of."""

    def find_model(self, model: str) -> ModelInfo | None:
        """Every model in the registry is served."""
        return lookup.known_model(model)

    def models(self) -> list[ModelInfo]:
        """Return every model in the registry."""
        return lookup.all_models()

    def weights_name(self, model_info: ModelInfo) -> str:
        """There are none."""
        return "none (scripted)"

    async def generate(self, job: EngineRequest) -> AsyncGenerator[Delta, None]:
        """Yield the next entry's answer, or fail as it says."""
        entry = self._script[min(self._next, len(self._script) - 1)]
        self._next += 1
        played = entry(job) if callable(entry) else entry
        if isinstance(played, Fault):
            async for delta in _failing(played):
                yield delta
        else:
            async for delta in _answering(job, played):
                yield delta


async def _failing(fault: Fault) -> AsyncGenerator[Delta, None]:
    for number in range(fault.after or 0):
        yield Delta(text=f"piece {number + 1} ")
    if fault.cut:
        raise DropConnection
    raise APIError(fault.status, fault.code, fault.message)


async def _answering(job: EngineRequest, answer: Answer) -> AsyncGenerator[Delta, None]:
    usage = answer.usage or _estimated(job, answer)
    if answer.reasoning:
        yield Delta(reasoning=answer.reasoning, usage=usage)
    for index, part in enumerate(answer.parts):
        if index and answer.pause:
            await asyncio.sleep(answer.pause)
        if index and index == len(answer.parts) - 1 and answer.hold is not None:
            await asyncio.to_thread(answer.hold.wait, 10)
        yield Delta(text=part, usage=usage)
    for call in answer.tool_calls:
        yield Delta(tool_calls=(call,), usage=usage)
    reason = "tool_calls" if answer.tool_calls else answer.finish_reason
    yield Delta(finish_reason=reason, usage=usage, last=True)


def _parrot(job: EngineRequest) -> Answer:
    return Answer(f"You said: {_question(job)}")


def _question(job: EngineRequest) -> str:
    messages = job.messages
    if messages is None and job.model_info.template is not None and job.prompt is not None:
        messages = tuple(job.model_info.template.parse(job.prompt) or ())
    asked = [m.content for m in messages or () if m.role == "user"]
    return asked[-1] if asked else job.prompt or ""


def _estimated(job: EngineRequest, answer: Answer) -> Usage:
    given = job.prompt or "".join(m.content for m in job.messages or ())
    counts = [
        estimates.estimate(t, job.model_info.tokenizer) for t in (given, "".join(answer.parts))
    ]
    return Usage(input_tokens=counts[0], output_tokens=counts[1], total_tokens=sum(counts))
