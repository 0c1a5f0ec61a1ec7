"""Messages that no model takes, and turns in an order that a model does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dashscope_oss.errors import DashScopeWarning, UnsupportedInputError, warn
from dashscope_oss.messages import ROLES, Message, Part
from dashscope_oss.prompts import turn_order
from dashscope_oss.protocol.validation.refusal import refuse
from dashscope_oss.registry.model_info import ModelInfo


def check_messages(model_info: ModelInfo, messages: Sequence[Message]) -> None:
    """Raise for messages that the model cannot take.

    Raises:
        UnsupportedInputError: for a message of another kind, or turns in another order.
    """
    _check_is_model_info(model_info)
    if not all(isinstance(message, Message) for message in messages):
        raise TypeError("messages must be a list of Message: [Message('user', 'Hello')]")
    if not messages:
        refuse(model_info, "the list of messages is empty; add a user message")
    for place, message in enumerate(messages):
        try:
            _check_message(model_info, message)
        except UnsupportedInputError as error:
            raise error.at_message(place, message.role, model_info.id) from None


def check_prompt(model_info: ModelInfo, prompt: str) -> None:
    """Raise for a prompt that is no text or empty.

    Raises:
        UnsupportedInputError: for a prompt that is no text, or empty.
    """
    _check_is_model_info(model_info)
    _check_message(model_info, Message("user", prompt))


def check_turns(model_info: ModelInfo, turns: Sequence[Message]) -> None:
    """Raise for turns without a question, or in an order that the model does not take."""
    if not model_info.takes_messages:
        check_order(model_info, turn_order.merge_turns(turn_order.fold_system_turns(turns)))
    elif model_info.strict_turns:
        check_order(model_info, turns)
    else:
        with _naming(model_info):
            turn_order.check_question(turns, by_user=model_info.system_turns == "first")


def _check_is_model_info(model_info: ModelInfo) -> None:
    if not isinstance(model_info, ModelInfo):
        raise TypeError(f"model_info must be a ModelInfo: find_model({model_info!r:.100})")


def warn_of_written_prompt(model_info: ModelInfo, messages: Sequence[Message]) -> None:
    """Warn of a message that is a prompt in the model's own form: it is put into that once more."""
    template = model_info.template
    if template is None or not template.has_marks:
        return
    if any(message.role == "user" and template.is_in(message.content) for message in messages):
        instead = "send it as a prompt instead (complete(), DashScopeOSSLLM), or " * (
            model_info.takes_prompt
        )
        warn(
            f"{model_info.id}: a message holds a prompt in the model's own form "
            f"({template.name}), and is put into that form once more; {instead}"
            "write it without the marks of turns",
            DashScopeWarning,
        )


def _check_message(model_info: ModelInfo, message: Message) -> None:
    if _is_nonempty_text(message):
        return
    for refusal in REFUSALS:
        if refusal.applies(message):
            refuse(model_info, refusal.text.format(message=message))


def _is_nonempty_text(message: Message) -> bool:
    """Whether it is text of a known role and nothing else: then no refusal can apply."""
    content = message.content
    return (
        isinstance(content, str)
        and bool(content)
        and not content.isspace()
        and (content.isascii() or not _has_surrogate(message))
        and message.role in ROLES
        and not message.tool_calls
        and not message.parts
        and not message.partial
    )


def check_order(model_info: ModelInfo, turns: Sequence[Message]) -> None:
    """Raise unless the turns are in the order that strict models want.

    Raises:
        UnsupportedInputError: names the model, and what to change.
    """
    with _naming(model_info):
        turn_order.check_turn_order(turns)


@contextmanager
def _naming(model_info: ModelInfo) -> Iterator[None]:
    """Let a refusal say which model it is about."""
    try:
        yield
    except UnsupportedInputError as error:
        error.model = model_info.id
        raise


def _has_surrogate(message: Message) -> bool:
    try:
        message.content.encode()
    except UnicodeEncodeError:
        return True
    return False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A kind of message that no model takes.

    Attributes:
        kind: in words, for the documentation.
        applies: whether a message is of this kind.
        text: what is wrong with it and what to do; it may hold fields of ``message``.
    """

    kind: str
    applies: Callable[[Message], bool]
    text: str


REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        "unknown role",
        lambda message: message.role not in ROLES,
        f"unknown role {{message.role!r}}; use one of {', '.join(ROLES)}",
    ),
    Refusal(
        "content that is no text",
        lambda message: not isinstance(message.content, str),
        "content must be text, not {message.content.__class__.__name__}",
    ),
    Refusal(
        "parts of an unknown class",
        lambda message: not all(isinstance(part, Part) for part in message.parts),
        "parts must be TextPart, ImagePart, VideoPart or AudioPart",
    ),
    Refusal(
        "question without words",
        lambda message: message.role == "user" and not turn_order.holds_anything(message),
        "the prompt or user message is empty; give it some text",
    ),
    Refusal(
        "call of a tool that is not an answer's",
        lambda message: bool(message.tool_calls) and message.role != "assistant",
        "only a message of the role assistant can call tools",
    ),
    Refusal(
        "mark to go on with a message that is no answer",
        lambda message: message.partial and message.role != "assistant",
        "only an answer, a message of the role assistant, can be marked as partial",
    ),
    Refusal(
        "half of a character (a lone surrogate)",
        _has_surrogate,
        "the text holds a lone surrogate, half of a character that UTF-8 cannot encode; check how "
        "the text was decoded",
    ),
)
"""Messages that are refused before anything is sent, whatever the model."""
