"""Calls of tools and their results: each call followed by its result, or both told in words.

Services and chat templates refuse a call without a result, a result without a call, and anything
between the two; an agent whose memory was cut or interrupted holds such turns.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.messages import Message, ToolCall
from dashscope_oss.prompts.turn_order import merge_turns, with_words_before, with_words_behind

NO_RESULT = "No result of this call is known."
"""What the model reads as the result of a call that has none."""
RAW_ARGUMENTS = "raw_arguments"
"""The key under which arguments that are no JSON object are sent."""
UNNAMED_TOOL = "unnamed_tool"
"""The name that is sent for a call without one."""


def tell_tools_in_words(messages: Sequence[Message]) -> list[Message]:
    """Write calls of tools and their results as text, for a model that knows no tools.

    A call is added to the assistant's text, a result becomes a turn of the user's.
    """
    names = _names_by_id(messages)
    turns: list[Message] = []
    for message in messages:
        names.update((call.id, call.name) for call in message.tool_calls)  # ids may come again
        turns.append(_in_words(message, names))
    return turns


def pair_calls_with_results(messages: Sequence[Message]) -> list[Message]:
    """Put each result right behind its call, and give every call one result.

    - What stands between a call and its results follows them.
    - Calls in neighbouring answers become calls of one answer.
    - A call without an id, or with the id of its neighbour, gets an id of its own. A result
      without an id belongs to the first open call of its tool, or to the first at all.
    - A call that gets no result before the next answer gets :data:`NO_RESULT`.
    - Any other result is told in words, as the user's: one whose call is missing, comes later, or
      was answered already.
    """
    if not any(message.tool_calls or message.role == "tool" for message in messages):
        return list(messages)
    names = _names_by_id(messages)
    pairing = _Pairing(names, taken_ids=set(names))
    for message in _join_calling_answers(messages):
        pairing.add(message)
    return pairing.close()


def _join_calling_answers(messages: Iterable[Message]) -> Iterator[Message]:
    """Make one answer of neighbours that call tools, such as parallel branches leave."""
    for calls_tools, run in itertools.groupby(messages, lambda message: bool(message.tool_calls)):
        turns = list(run)
        if calls_tools and len(turns) > 1:
            (turn,) = merge_turns(turns)
            calls = [replace(call, index=None) for call in turn.tool_calls]
            turns = [replace(turn, tool_calls=tuple(calls))]
        yield from turns


def make_calls_sendable(messages: Sequence[Message]) -> list[Message]:
    """Give every call a name, and arguments that are a JSON object."""
    return [_with_calls(turn, map(with_sendable_arguments, turn.tool_calls)) for turn in messages]


def _with_calls(turn: Message, calls: Iterable[ToolCall]) -> Message:
    """Return the turn with these calls; itself if they are its own."""
    changed = tuple(calls)
    return turn if changed == turn.tool_calls else replace(turn, tool_calls=changed)


def write_arguments(arguments: object) -> str:
    """Return the arguments of a call as JSON text; text is taken for that already.

    Raises:
        UnsupportedInputError: for what JSON cannot hold.
    """
    if isinstance(arguments, str):
        return arguments
    try:
        return json.dumps(arguments or {}, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnsupportedInputError(
            f"the arguments of a tool call cannot be written as JSON: {error}; give it plain values"
        ) from error


def with_sendable_arguments(call: ToolCall) -> ToolCall:
    """Return an earlier call with a name, and arguments that are a JSON object.

    Services and chat templates refuse any others for good. Words that are no object are kept under
    the key ``raw_arguments``.
    """
    if not call.name:
        call = replace(call, name=UNNAMED_TOOL)
    if not call.arguments.strip():
        return replace(call, arguments="{}")
    if _is_json_object(call.arguments):
        return call
    return replace(call, arguments=json.dumps({RAW_ARGUMENTS: call.arguments}, ensure_ascii=False))


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text, parse_constant=_refuse_constant), dict)
    except (ValueError, RecursionError):
        return False


def _refuse_constant(name: str) -> None:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError(name)


@dataclass(slots=True)
class _Pairing:
    """The turns so far, the calls that wait for a result, and the turns that wait with them."""

    names: dict[str, str]
    turns: list[Message] = field(default_factory=list)
    open_calls: list[tuple[str, ToolCall]] = field(default_factory=list)
    waiting: list[Message] = field(default_factory=list)
    taken_ids: set[str] = field(default_factory=set)

    def add(self, message: Message) -> None:
        if message.role == "tool":
            self._add_result(message)
        elif message.role == "assistant":
            self._add_answer(message)
        else:
            self._add_other(message)

    def close(self) -> list[Message]:
        """Answer the calls that are still open, and return all turns."""
        self.turns += [
            Message("tool", NO_RESULT, tool_call_id=call.id, tool_name=call.name)
            for _, call in self.open_calls
        ]
        self.turns += self.waiting
        self.open_calls, self.waiting = [], []
        return self.turns

    def _add_answer(self, message: Message) -> None:
        self.close()
        ids: set[str] = set()
        calls = [self._with_own_id(call, ids) for call in message.tool_calls]
        self.open_calls += zip((call.id for call in message.tool_calls), calls, strict=True)
        self.names.update((call.id, call.name) for call in calls)
        self.turns.append(_with_calls(message, calls))

    def _add_result(self, message: Message) -> None:
        opened = self._call_of(message)
        if opened is None:
            self._add_other(_in_words(message, self.names))
            return
        self.open_calls.remove(opened)
        id = opened[1].id
        own = message if message.tool_call_id == id else replace(message, tool_call_id=id)
        self.turns.append(own)
        if not self.open_calls:
            self.close()

    def _add_other(self, message: Message) -> None:
        (self.waiting if self.open_calls else self.turns).append(message)

    def _call_of(self, result: Message) -> tuple[str, ToolCall] | None:
        """Return the open call, with its id in the conversation, that ``result`` answers."""
        if result.tool_call_id:
            candidates = self._calls_by_id(result.tool_call_id)
        elif result.tool_name:
            candidates = [
                opened for opened in self.open_calls if opened[1].name == result.tool_name
            ]
        else:
            candidates = self.open_calls
        return candidates[0] if candidates else None

    def _calls_by_id(self, id: str) -> list[tuple[str, ToolCall]]:
        """Return the open calls of this id; Gemini's have none, and their results name the tool."""
        by_id = [opened for opened in self.open_calls if opened[0] == id]
        return by_id or [
            opened for opened in self.open_calls if not opened[0] and opened[1].name == id
        ]

    def _with_own_id(self, call: ToolCall, ids: set[str]) -> ToolCall:
        """Return ``call`` with an id that is not among ``ids``, and add it to them."""
        id = call.id if call.id and call.id not in ids else self._new_id()
        ids.add(id)
        return call if call.id == id else replace(call, id=id)

    def _new_id(self) -> str:
        """Return an id that is always the same for this place, so that prompt caches hold."""
        ids = map("call_{}".format, itertools.count(1))
        id = next(id for id in ids if id not in self.taken_ids)
        self.taken_ids.add(id)
        return id


def _names_by_id(messages: Iterable[Message]) -> dict[str, str]:
    return {call.id: call.name for message in messages for call in message.tool_calls}


def _in_words(message: Message, names: Mapping[str, str]) -> Message:
    if message.role == "tool":
        name = message.tool_name or names.get(message.tool_call_id or "") or "the tool"
        result = Message("user", message.content, parts=message.parts)
        return with_words_before(result, f"Result of {name}:\n")
    if not message.tool_calls:
        return message
    calls = "\n".join(
        f"Call of {call.name or UNNAMED_TOOL}: {call.arguments}" for call in message.tool_calls
    )
    return replace(with_words_behind(message, calls), tool_calls=())
