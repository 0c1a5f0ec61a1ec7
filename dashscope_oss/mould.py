"""Many objects of one kind at the price of copies: for the pieces of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from pydantic import BaseModel

Model = TypeVar("Model", bound="BaseModel")


class Mould(Generic[Model]):
    """Makes objects like ``first``, which pydantic has checked once.

    Checking every piece of a stream anew costs more than all else that is done to it, though
    little but a text differs. What a new object gets here is taken as it is, so it must be of the
    right type. No object shares a list or a dict with another. The state that is copied is that
    of pydantic's pickles.
    """

    def __init__(self, first: Model) -> None:
        self._kind = type(first)
        self._state: dict[str, Any] = first.__getstate__()
        self._fields: dict[str, Any] = self._state["__dict__"]
        self._own_state = _owned(self._state)
        self._own_fields = _owned(self._fields)

    def cast(self, **values: object) -> Model:
        """Return an object that differs in ``values``, named as the fields are."""
        fields = {**self._fields, **values}
        for name, value in self._own_fields:
            if fields[name] is value:
                fields[name] = value.copy()
        state = {**self._state, "__dict__": fields}
        for name, value in self._own_state:
            state[name] = value.copy()
        made = self._kind.__new__(self._kind)
        made.__setstate__(state)
        return made


def _owned(state: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        (n, v) for n, v in state.items() if isinstance(v, dict | list | set) and n != "__dict__"
    ]
