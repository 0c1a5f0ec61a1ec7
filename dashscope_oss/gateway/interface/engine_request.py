"""What the gateway hands to an engine: one checked request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dashscope_oss.messages import Message
from dashscope_oss.registry.model_info import ModelInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """One checked request; exactly one of ``messages`` and ``prompt`` is set.

    Attributes:
        model_info: the model that is to answer.
        messages: the conversation, if the caller sent one.
        prompt: the prompt as the caller sent it, if the caller sent one.
        parameters: the caller's parameters, checked; those that were null are left out.
        stream: whether the caller wants events.
        request_id: identifies the call in the answer's body and header.
    """

    model_info: ModelInfo
    messages: tuple[Message, ...] | None = None
    prompt: str | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    stream: bool = False
    request_id: str = ""

    @property
    def texts(self) -> list[str]:
        """The prompt, or the content of each message."""
        if self.prompt is not None:
            return [self.prompt]
        return [message.content for message in self.messages or ()]

    @property
    def is_partial(self) -> bool:
        """Whether the answer is to go on where the last message ends."""
        return self.messages is not None and self.messages[-1].partial

    @property
    def incremental(self) -> bool:
        """Whether each event holds only new text, rather than all the text so far."""
        requested = self.parameters.get("incremental_output")
        return self.model_info.incremental == "forced" if requested is None else requested is True

    @property
    def as_message(self) -> bool:
        """Whether the reply has the form of messages rather than of text."""
        if self.parameters.get("tools") or self.parameters.get("logprobs"):
            return True  # neither has a place in the form of text
        requested = self.parameters.get("result_format")
        return requested == "message" if requested is not None else not self.model_info.text_reply


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request as it arrived: the JSON body, and the headers with lower-case names."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, object]
