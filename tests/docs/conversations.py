"""The tables of `docs/frameworks/conversations.md`, from the code.

`python -m tests.docs.conversations` writes them into the page.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dashscope_oss import Message, ModelInfo, ToolCall, UnsupportedInputError, chat_request
from dashscope_oss.messages import AudioPart, ImagePart, Part, TextPart, VideoPart
from dashscope_oss.protocol.conversation.content_blocks import BLOCK_TYPES
from dashscope_oss.protocol.conversation.steps import OUTCOMES, REASONING_RULES, STEPS
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.validation import REFUSALS
from dashscope_oss.registry.lookup import all_models, find_model
from dashscope_oss.registry.model_info import Modality
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "frameworks" / "conversations.md"


@dataclass(frozen=True)
class ModelKind:
    """A column of the table.

    Attributes:
        name: its head.
        meaning: what its models take, in words.
        is_for: whether a model is of this kind.
        example: id of one.
    """

    name: str
    meaning: str
    is_for: Callable[[ModelInfo], bool]
    example: str


MODEL_KINDS = (
    ModelKind(
        "tools",
        "messages in any order, and tools",
        lambda m: _is_free(m) and m.tools and m.system_turns == "any",
        "glm-5",
    ),
    ModelKind(
        "tools, system first",
        "messages and tools; one system message, at the beginning",
        lambda m: _is_free(m) and m.tools and m.system_turns == "first",
        "qwen3.5-27b",
    ),
    ModelKind(
        "no tools",
        "messages in any order",
        lambda m: _is_free(m) and not m.tools,
        "qwen2-7b-instruct",
    ),
    ModelKind(
        "strict turns",
        "messages; the user's and the assistant's alternate",
        lambda m: m.takes_messages and m.strict_turns,
        "llama3-8b-instruct",
    ),
    ModelKind(
        "prompt only",
        "one prompt, written by the family's template",
        lambda m: not m.takes_messages,
        "ziya-llama-13b-v1",
    ),
)

_QUESTION = Message("user", "question")
_ANSWER = Message("assistant", "answer")
_SYSTEM = Message("system", "system text")
_RESULT = Message("tool", "result", tool_call_id="c1")


def _calling(id: str, arguments: str = '{"a": 1}') -> Message:
    return Message("assistant", "", (ToolCall(id, "add", arguments),))


_CALLING = _calling("c1")
_ROUND = [_QUESTION, _CALLING, _RESULT]

EXAMPLES: dict[str, list[Message]] = {
    "system turn": [_SYSTEM, _QUESTION],
    "system turn without words": [Message("system", " "), _QUESTION],
    "several system turns at the beginning": [_SYSTEM, Message("system", "more"), _QUESTION],
    "system turn after other turns": [_QUESTION, _ANSWER, _SYSTEM, Message("user", "more")],
    "system turn before a tool's result, without a question": [_SYSTEM, _CALLING, _RESULT],
    "system turn without a question": [_SYSTEM],
    "two turns of one role": [_QUESTION, Message("user", "more")],
    "question without words": [Message("user", ""), _ANSWER, _QUESTION],
    "answer before the first question": [_ANSWER, _QUESTION],
    "answer without words and calls": [
        _QUESTION,
        Message("assistant", ""),
        Message("user", "more"),
    ],
    "answer without a question": [_ANSWER],
    "answer at the end": [_QUESTION, _ANSWER],
    "call of a tool": _ROUND,
    "result of a tool": _ROUND,
    "call without a result": [_QUESTION, _CALLING, Message("user", "more")],
    "call without an id": [_QUESTION, _calling(""), Message("tool", "result")],
    "calls in neighbouring answers": [
        *(_QUESTION, _CALLING, _calling("c2")),
        *(_RESULT, Message("tool", "more", tool_call_id="c2")),
    ],
    "arguments that are no JSON object": [_QUESTION, _calling("c1", "{a"), _RESULT],
    "result after other turns": [_QUESTION, _CALLING, Message("user", "more"), _RESULT],
    "result whose call is missing or later": [_RESULT, _ANSWER, _QUESTION],
    "second result of a call": [*_ROUND, Message("tool", "more", tool_call_id="c1")],
}
"""For each row of the table a conversation that shows it."""

MEDIA: dict[Modality, Part] = {
    "image": ImagePart("https://example.org/x.png"),
    "video": VideoPart("https://example.org/x.mp4"),
    "audio": AudioPart("https://example.org/x.mp3"),
}
"""For each kind of file a part that holds one."""

AS_IT_IS, REFUSED = "as it is", "refused"


def outcome(kind: str, model_kind: ModelKind) -> str:
    """What becomes of a kind of message, for a kind of model."""
    model_info = find_model(model_kind.example)
    steps = [step for step in reversed(STEPS) if step.is_for(model_info)]
    words = next((step.outcomes[kind] for step in steps if kind in step.outcomes), AS_IT_IS)
    return words if request(kind, model_kind) is not None else REFUSED


def request(kind: str, model_kind: ModelKind) -> Request | None:
    """The request for the example of a row; ``None`` if it is refused."""
    try:
        return chat_request(find_model(model_kind.example), EXAMPLES[kind])
    except UnsupportedInputError:
        return None


def media_outcome(kind: Modality, model_info: ModelInfo) -> str:
    """What becomes of a kind of file, for a model."""
    message = Message.of_parts("user", [TextPart("question"), MEDIA[kind]])
    try:
        chat_request(model_info, [message])
    except UnsupportedInputError:
        return REFUSED
    return AS_IT_IS


def tables() -> dict[str, str]:
    """All tables of the page by the name of their marker."""
    return {
        "kinds": _table(("kind", "takes", "families"), map(_kind_row, MODEL_KINDS)),
        "messages": _table(
            ("", *(kind.name for kind in MODEL_KINDS)),
            ((kind, *(outcome(kind, column) for column in MODEL_KINDS)) for kind in EXAMPLES),
        ),
        "outcomes": _table(("", "what it means"), OUTCOMES.items()),
        "thoughts": _table(
            ("`reasoning_in_history`", "thoughts of earlier answers", "families that think"),
            (
                (f"`{name}`", rule.outcome, _families(lambda m, n=name: _thinks_by(m, n)))
                for name, rule in REASONING_RULES.items()
            ),
        ),
        "media": _table(("", "sent to models of", "other models"), map(_media_row, MEDIA)),
        "blocks": _table(("read as", "`type` of the block"), map(_block_row, BLOCK_TYPES)),
        "refusals": "\n".join(f"- {refusal.kind}" for refusal in REFUSALS),
    }


def write() -> None:
    """Put the tables between the page's markers."""
    page = PAGE.read_text("utf-8")
    for name, table in tables().items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        page = re.sub(pattern, lambda m, t=table: f"{m[1]}{t}\n{m[2]}", page, flags=re.DOTALL)
    PAGE.write_text(page, "utf-8")


def _is_free(model_info: ModelInfo) -> bool:
    return model_info.takes_messages and not model_info.strict_turns


def _thinks_by(model_info: ModelInfo, rule: str) -> bool:
    return model_info.thinking != "none" and model_info.reasoning_in_history == rule


def _kind_row(kind: ModelKind) -> tuple[str, ...]:
    return kind.name, kind.meaning, _families(kind.is_for)


def _families(is_for: Callable[[ModelInfo], bool]) -> str:
    return ", ".join(dict.fromkeys(model.family for model in all_models() if is_for(model)))


def _media_row(kind: Modality) -> tuple[str, ...]:
    takers = _families(lambda model_info: kind in model_info.modalities)
    return kind, takers, media_outcome(kind, find_model("glm-5"))


def _block_row(use: str) -> tuple[str, str]:
    types = BLOCK_TYPES[use]
    return use, ", ".join(f"`{name}`" if name else "none" for name in types)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    write()
