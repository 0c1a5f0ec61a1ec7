"""What a gateway hands to an engine, and what an engine is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from dashscope_oss.messages import Delta, Message
from dashscope_oss.registry.model_info import ModelInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """One call, checked: exactly one of ``messages`` and ``prompt`` is set.

    Attributes:
        model_info: the model asked.
        messages: the conversation, if one was sent.
        prompt: the prompt as it was sent, if one was sent.
        parameters: as sent, checked; what was sent as null is left out.
        stream: whether the caller wants events.
        request_id: goes back in body and header.
    """

    model_info: ModelInfo
    messages: tuple[Message, ...] | None = None
    prompt: str | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    stream: bool = False
    request_id: str = ""

    @property
    def texts(self) -> list[str]:
        """The prompt, or what each turn says."""
        if self.prompt is not None:
            return [self.prompt]
        return [message.content for message in self.messages or ()]

    @property
    def incremental(self) -> bool:
        """Whether events hold new pieces rather than the whole text so far."""
        asked = self.parameters.get("incremental_output")
        return self.model_info.incremental == "forced" if asked is None else asked is True

    @property
    def as_message(self) -> bool:
        """Whether the reply has the shape of messages rather than of text."""
        if self.parameters.get("tools"):
            return True  # a call of a tool has no place in text
        asked = self.parameters.get("result_format")
        return asked == "message" if asked is not None else not self.model_info.text_reply


def modern(model_info: ModelInfo) -> ModelInfo:
    """Return ``record`` without the early models' habits: no echo, and usage in every reply."""
    return replace(model_info, echo="none", reports_usage=True)


class Engine(Protocol):
    """Something that answers jobs."""

    async def start(self) -> None:
        """Get ready; called once, before the gateway says that it listens."""

    async def aclose(self) -> None:
        """Let go of everything."""

    def record_of(self, model: str) -> ModelInfo | None:
        """Return the record under which ``model`` is served, or ``None`` if it is not."""

    def models(self) -> list[ModelInfo]:
        """Return the records that are listed as served."""

    def weights_of(self, model_info: ModelInfo) -> str:
        """Name the weights that really answer for ``record``."""

    def generate(self, job: EngineRequest) -> AsyncGenerator[Delta, None]:
        """Yield the answer in pieces; the last has ``last=True`` and the finish reason.

        Raises:
            APIError: with the vendor's status, code and text.
        """


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came in: the JSON body, and headers with names in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, object]


class Cut(Exception):
    """An engine's wish that the connection be cut without a word."""
