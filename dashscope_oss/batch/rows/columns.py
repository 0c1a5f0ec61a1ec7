"""Rows with a column for the prompt or for the messages, and the columns of their answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dashscope_oss.batch.files.jsonl import json_type
from dashscope_oss.batch.rows.images import read_image
from dashscope_oss.batch.rows.outcome import Failure
from dashscope_oss.batch.rows.settings import stated_parameters
from dashscope_oss.batch.rows.wire_messages import read_messages
from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.messages import ImagePart, Json, Message, Options, Reply, TextPart
from dashscope_oss.protocol.request import Request, chat_request
from dashscope_oss.protocol.tools import write_tool_calls
from dashscope_oss.registry.model_info import ModelInfo

DEFAULT_PROMPT_COLUMN = "prompt"
DEFAULT_MESSAGES_COLUMN = "messages"
DEFAULT_ANSWER_COLUMN = "answer"


@dataclass(frozen=True)
class Columns:
    """Which columns of a row make its request, and which hold its answer.

    Attributes:
        model_info: the model asked.
        options: parameters of every call.
        prompt: column with the prompt, one user message.
        messages: column with a whole conversation; wins over ``prompt``.
        image: column with an image, or a list of them, that stands before the prompt: an address,
            the bytes of a file, or the path of one; a row may have none.
        folder: where the paths of images begin.
        system: system message that comes before each prompt.
        answer: column for the text of the answer; the other new columns begin with its name.
    """

    model_info: ModelInfo
    options: Options = field(default_factory=Options)
    prompt: str | None = None
    messages: str | None = None
    image: str | None = None
    folder: Path = Path()
    system: str | None = None
    answer: str = DEFAULT_ANSWER_COLUMN

    @property
    def settings(self) -> dict[str, object]:
        """What makes a run: with other settings the same rows are another run."""
        return {
            "model": self.model_info.id,
            "parameters": stated_parameters(self.options),
            "prompt column": self.prompt,
            "messages column": self.messages,
            "image column": self.image,
            "system": self.system,
        }

    def request(self, values: Json) -> Request:
        """Return the request of a row.

        Raises:
            UnsupportedInputError: if the column is missing, a column has the name of an answer's,
                or the model cannot carry the row.
        """
        if not self._answer_columns.isdisjoint(values):
            taken = ", ".join(name for name in self.answer_columns() if name in values)
            raise UnsupportedInputError(
                f"the row already has a column {taken}; give the answers another name"
            )
        return chat_request(self.model_info, self._conversation(values), self.options)

    def answer_columns(self) -> list[str]:
        """Return the names of the columns that an answer adds."""
        return [self.answer, *(f"{self.answer}_{part}" for part in PARTS)]

    @cached_property
    def _answer_columns(self) -> frozenset[str]:
        return frozenset(self.answer_columns())

    def answered(self, number: int, values: Json, reply: Reply) -> dict[str, object]:
        """Return the row with its answer."""
        parts = (reply.text, *(part(reply) for part in PARTS.values()))
        return {**values, **dict(zip(self.answer_columns(), parts, strict=True))}

    def failed(self, number: int, values: Json | None, failure: Failure) -> dict[str, object]:
        """Return what is reported of a row without an answer."""
        return {
            "row": number,
            "class": failure.kind,
            "code": failure.code,
            "status_code": failure.status_code,
            "message": failure.message,
            "request_id": failure.request_id,
            "input": values,
        }

    def _conversation(self, values: Json) -> list[Message]:
        if self.messages is not None:
            messages = _column(values, self.messages)
            return read_messages(messages, self.messages, self.model_info.id)
        name = self.prompt or DEFAULT_PROMPT_COLUMN
        prompt = _column(values, name)
        if not isinstance(prompt, str):
            raise UnsupportedInputError(f"column {name} holds {json_type(prompt)}, not a text")
        images = self._images(values) if self.image is not None else []
        system = [Message("system", self.system)] if self.system else []
        return [*system, Message.of_parts("user", [*images, TextPart(prompt)])]

    def _images(self, values: Json) -> list[ImagePart]:
        name = self.image or ""
        value = values.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            return []  # a row may be without; a CSV has an empty field then
        return [
            read_image(each, self.folder)
            for each in (value if isinstance(value, list) else [value])
        ]


def _column(values: Json, name: str) -> object:
    if name not in values:
        columns = ", ".join(values) or "none"
        raise UnsupportedInputError(f"the row has no column {name}; its columns: {columns}")
    if values[name] is None:
        raise UnsupportedInputError(f"column {name} is empty")
    return values[name]


PARTS: dict[str, Callable[[Reply], object]] = {
    "reasoning": lambda reply: reply.reasoning or None,
    "tool_calls": lambda reply: write_tool_calls(reply.tool_calls) or None,
    "finish_reason": lambda reply: reply.finish_reason,
    "input_tokens": lambda reply: reply.usage and reply.usage.input_tokens,
    "output_tokens": lambda reply: reply.usage and reply.usage.output_tokens,
    "request_id": lambda reply: reply.request_id,
    "served_by": lambda reply: reply.served_by,
}
"""The columns of an answer beside its text: what follows the answer's name, and what is in it."""
