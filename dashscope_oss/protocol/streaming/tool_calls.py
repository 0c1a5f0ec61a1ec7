"""Calls of tools as they stream in: which piece belongs to which call, and what it adds."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from pydantic_core import from_json

from dashscope_oss.messages import ToolCall
from dashscope_oss.protocol.streaming.incremental import IncrementalText, Regime


def new_call_id() -> str:
    """Return an id for a call that got none; frameworks match results to calls by it."""
    return f"call_{os.urandom(12).hex()}"


NO_ARGUMENTS = ("null", "[]")
"""What some models and servers write in place of an empty object."""
_NO_INDEX = -1


@dataclass(slots=True)
class _OpenCall:
    """A call of which pieces may still come."""

    index: int
    regime: Regime
    id: str = ""
    name: str = ""
    _first_arguments: str = ""
    _arguments: IncrementalText = field(init=False)
    _pieces: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._arguments = IncrementalText(self.regime)

    def repeats(self, piece: ToolCall) -> bool:
        """Whether ``piece`` sends all arguments of this call once more.

        Some servers and proxies do behind the last piece, also as the JSON text of the JSON text.
        """
        if piece.id not in ("", self.id) or not piece.arguments.endswith(("}", '"')):
            return False
        repeated = _decoded(piece.arguments)
        return repeated is not None and repeated == _decoded("".join(self._pieces))

    def is_followed_by(self, piece: ToolCall) -> bool:
        """Whether ``piece``, which has a name and no id, begins a second call of the same tool."""
        if not piece.arguments.startswith("{") or self.repeats(piece):
            return False
        return _decoded("".join(self._pieces)) is not None

    def added_arguments(self, arguments: str) -> str:
        """Return what the next piece's arguments add.

        No object begins with its own beginning: a piece that does holds all of it so far. What
        some models write for no arguments is none.
        """
        if not self._first_arguments and arguments.strip() in NO_ARGUMENTS:
            return ""
        if self._first_arguments and arguments and not self.regime.is_decided:
            repeats = arguments.startswith(self._first_arguments)
            is_object = self._first_arguments.startswith("{")
            self.regime.mode = "cumulative" if repeats and is_object else "incremental"
        self._first_arguments = self._first_arguments or arguments
        added = self._arguments.push(arguments)
        self._pieces.append(added)
        return added


@dataclass(slots=True)
class ToolCallAssembler:
    """Gives each piece of a call the index of its call, and removes a repeated id or name.

    What joins the pieces adds up their ids and names, so each must come once.

    Engines differ: some state no index, some give every call the index 0, some repeat id and
    name in every piece. A piece without an index continues the newest call, unless it has another
    id, or a name and no id. A piece with an index continues the call of that index, unless it has
    another id and a name: it begins a second call then.

    Attributes:
        regime: whether each piece repeats the arguments so far.
    """

    regime: Regime = field(default_factory=lambda: Regime("incremental"))
    _calls: dict[int, _OpenCall] = field(default_factory=dict)
    _by_stated_index: dict[int, _OpenCall] = field(default_factory=dict)
    _by_id: dict[tuple[int, str], _OpenCall] = field(default_factory=dict)
    _newest_id: str = ""

    @property
    def count(self) -> int:
        """How many calls have begun."""
        return len(self._calls)

    @property
    def are_named(self) -> bool:
        """Whether all calls so far say which tool they call."""
        return all(call.name for call in self._calls.values())

    def push(self, piece: ToolCall) -> ToolCall:
        """Return what ``piece`` adds to its call, under the call's index."""
        call = self._unnumbered(piece) if piece.index is None else self._numbered(piece)
        self._newest_id = piece.id or self._newest_id
        added = ToolCall(
            id="" if call.id else piece.id,
            name="" if call.name else piece.name,
            arguments="" if call.repeats(piece) else call.added_arguments(piece.arguments),
            index=call.index,
        )
        call.id, call.name = call.id or piece.id, call.name or piece.name
        return added

    def _unnumbered(self, piece: ToolCall) -> _OpenCall:
        known = self._by_id.get((_NO_INDEX, piece.id)) if piece.id else None
        begins = piece.id != self._newest_id if piece.id else bool(piece.name)
        if known is not None:
            return known
        if not begins and self._calls:
            return self._calls[next(reversed(self._calls))]
        call = self._begin(len(self._calls))
        if piece.id:
            self._by_id[_NO_INDEX, piece.id] = call
        return call

    def missing_ids(self) -> tuple[ToolCall, ...]:
        """Return a piece with an id for each call that got none: results are told apart by it."""
        without_id = [call for call in self._calls.values() if not call.id]
        for call in without_id:
            call.id = new_call_id()
        return tuple(ToolCall(id=call.id, index=call.index) for call in without_id)

    def _numbered(self, piece: ToolCall) -> _OpenCall:
        stated = piece.index or 0
        call = self._by_id.get((stated, piece.id)) or self._by_stated_index.get(stated)
        if call is None or _is_another(piece, call):
            call = self._by_stated_index[stated] = self._begin(stated)
        if piece.id:
            self._by_id[stated, piece.id] = call
        return call

    def _begin(self, wanted: int) -> _OpenCall:
        index = wanted if wanted not in self._calls else max(self._calls) + 1
        call = self._calls[index] = _OpenCall(index, self.regime)
        self._by_stated_index.setdefault(index, call)
        return call


def _decoded(arguments: str) -> object:
    """Return the object in JSON text, or in JSON text in JSON text; ``None`` if it is not whole."""
    try:
        decoded: object = from_json(arguments)
        decoded = from_json(decoded) if isinstance(decoded, str) else decoded
    except ValueError:
        return None
    return decoded if isinstance(decoded, dict) else None


def _is_another(piece: ToolCall, call: _OpenCall) -> bool:
    """Whether a piece under the index of ``call`` begins a second one."""
    if not piece.name:
        return False
    if piece.id and call.id:
        return piece.id != call.id
    if piece.id or not call.name:
        return False
    return piece.name != call.name or call.is_followed_by(piece)
