"""Tools in OpenAI's form, which is the service's too: their names, their calls, the tool choice.

A tool is ``{"type": "function", "function": {"name": …, "parameters": …}}``, a call of it
``{"id": …, "type": "function", "function": {"name": …, "arguments": "JSON text"}}``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from pydantic_core import to_json

from dashscope_oss.errors import DashScopeWarning, UnsupportedInputError, warn
from dashscope_oss.messages import Json, Reply, ToolCall
from dashscope_oss.protocol.json_body import text_or_empty

_ANY = ("any", "required", True)
_FREE = ("auto", "none")


def write_tool_calls(calls: Iterable[ToolCall]) -> list[dict[str, object]]:
    """Return ``calls`` in OpenAI's form."""
    return [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in calls
    ]


def write_answer(answer: Reply) -> dict[str, object]:
    """Return the message of an answer, with its calls of tools, in OpenAI's form."""
    message: dict[str, object] = {"role": "assistant", "content": answer.text}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.tool_calls:
        message["tool_calls"] = write_tool_calls(answer.tool_calls)
    return message


def read_tool_call(
    call: Mapping[str, object], text: Callable[[object], str] = text_or_empty
) -> ToolCall:
    """Return a call, or the piece of one that an event of a stream holds.

    Args:
        call: in OpenAI's form; whatever is missing is empty. Some servers send the arguments as
            the object itself instead of its JSON text.
        text: makes text of id, name and arguments; it may raise for a value that is no text.
    """
    function = call.get("function")
    if not isinstance(function, Mapping):
        function = {}
    arguments = function.get("arguments")
    return ToolCall(
        id=_real_id(text(call.get("id"))),
        name=text(function.get("name")),
        arguments=to_json(arguments).decode()
        if isinstance(arguments, dict | list)
        else text(arguments),
        index=_index(call.get("index")),
    )


def _real_id(id: str) -> str:
    """Return an id, or nothing for a server's word for none."""
    return "" if id.strip().lower() in ("null", "none") else id


def has_function(value: object) -> bool:
    """Whether ``value`` is a tool, a call or a choice in OpenAI's form."""
    return isinstance(value, Mapping) and isinstance(value.get("function"), Mapping)


def function_name(value: object) -> str | None:
    """Return the name in a tool, a call or a choice; ``None`` if it names no function."""
    function = value.get("function") if isinstance(value, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else None


def forced(name: str) -> dict[str, object]:
    """Return the ``tool_choice`` that makes the model call the tool ``name``."""
    return {"type": "function", "function": {"name": name}}


def tool_choice(choice: object, tools: Sequence[Json], model: str) -> str | Json | None:
    """Return ``choice`` as the service takes it: ``auto``, ``none`` or one named tool.

    Args:
        choice: one of these, a tool's name, or ``any``, ``required`` or ``True`` for "one of
            them": the only tool is named then. The service cannot force one of several: a
            warning says so, and ``auto`` is returned. Anthropic's form and that of OpenAI's
            Responses API, ``{"type": ..., "name": ...}``, are read too.
        tools: the tools that are sent.
        model: its id, for errors and warnings.

    Raises:
        UnsupportedInputError: if ``choice`` names none of the tools.
    """
    choice = _without_form(choice)
    if not choice or choice in _FREE:
        return choice or None  # type: ignore[return-value]  # one of _FREE is text
    if choice in _ANY:
        return _any_of(tools, model)
    if isinstance(choice, Mapping) and function_name(choice) is None:
        return choice
    names = [function_name(tool) for tool in tools]
    name = function_name(choice) if isinstance(choice, Mapping) else choice
    if name not in names:
        raise UnsupportedInputError(
            f"tool_choice {name!r} names none of the tools {', '.join(map(str, names))}; name one "
            "of these, or pass the tool too",
            model=model,
        )
    return choice if isinstance(choice, Mapping) else forced(str(name))


def _without_form(choice: object) -> object:
    """Return the word or the name in another provider's form; anything else as it is."""
    if not isinstance(choice, Mapping) or not choice.keys() <= {"type", "name"}:
        return choice
    word = choice.get("type")
    return choice.get("name") or (word if word in (*_FREE, *_ANY) else choice)


def _any_of(tools: Sequence[Json], model: str) -> str | Json:
    name = function_name(tools[0]) if len(tools) == 1 else None
    if name is not None:
        return forced(name)
    warn(
        f"{model}: the service cannot force a call of any of several tools, only of one that is "
        "named; tool_choice='auto' is sent, so the model may answer without a call",
        DashScopeWarning,
    )
    return "auto"


def _index(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        return int(value[:9])
    return value if isinstance(value, int) and not isinstance(value, bool) else None
