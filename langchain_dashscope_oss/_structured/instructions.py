"""What is added to a conversation so that the answer is an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue

from langchain_dashscope_oss._structured.methods import Method
from langchain_dashscope_oss._structured.schemas import Schema, instructions


@dataclass(frozen=True, slots=True)
class FormatInstructions:
    """The words that ask for the object; they go behind the last question.

    Attributes:
        text: the words; empty where the method needs none.
        only_without_json: add them only if no message speaks of JSON, which the service's JSON
            mode demands.
    """

    text: str = ""
    only_without_json: bool = False

    @classmethod
    def of(cls, method: Method, schema: Schema | None, *, wanted: Method | None) -> Self:
        """Return what ``method`` needs; ``wanted`` is the method that the caller chose."""
        if method in ("function_calling", "json_schema"):
            return cls()
        # A caller who chooses JSON mode describes the object, as with other services.
        return cls(instructions(schema), only_without_json=method == "json_mode" == wanted)

    def added_to(self, model_input: LanguageModelInput) -> list[BaseMessage]:
        """Return the messages to send."""
        messages = _messages(model_input)
        if not self.text or (self.only_without_json and _speak_of_json(messages)):
            return messages
        last = messages[-1] if messages else None
        if not isinstance(last, HumanMessage):
            return [*messages, HumanMessage(self.text)]
        content = _extended(last, self.text)
        return [*messages[:-1], last.model_copy(update={"content": content})]


def _messages(model_input: LanguageModelInput) -> list[BaseMessage]:
    if isinstance(model_input, PromptValue):
        return model_input.to_messages()
    if isinstance(model_input, str):
        return [HumanMessage(model_input)]
    return convert_to_messages(model_input)


def _speak_of_json(messages: list[BaseMessage]) -> bool:
    return any("json" in message.text.lower() for message in messages)


def _extended(message: HumanMessage, text: str) -> str | list[str | dict[str, Any]]:
    if isinstance(message.content, str):
        return f"{message.content}\n\n{text}"
    return [*message.content, {"type": "text", "text": f"\n\n{text}"}]
