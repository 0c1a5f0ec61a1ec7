"""Many objects of one kind at the price of copies: for the pieces of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

Model = TypeVar("Model", bound="BaseModel")

_KINDS = (dict, list, set)
_set = object.__setattr__


class ModelCloner(Generic[Model]):
    """Makes objects like ``first``, which pydantic has checked once.

    Checking every piece of a stream anew costs more than all else that is done to it, though
    little but a text differs. What a new object gets here is taken as it is, so it must be of the
    right type. No object shares a list or a dict with another. What is copied is the state that
    pydantic pickles.
    """

    def __init__(self, first: Model) -> None:
        self._kind = type(first)
        state = first.__getstate__()
        self._fields: dict[str, object] = state.pop("__dict__")
        self._own_fields = _copies(self._fields)
        self._state = [item for item in state.items() if not isinstance(item[1], _KINDS)]
        self._own_state = _copies(state)

    def makes(self, kind: type[BaseModel]) -> bool:
        """Whether its objects are of ``kind``."""
        return issubclass(self._kind, kind)

    def cast(self, **values: object) -> Model:
        """Return an object that differs in ``values``, named as the fields are."""
        fields = self._fields.copy()
        for name, copy in self._own_fields:
            fields[name] = copy()
        fields.update(values)
        made = self._kind.__new__(self._kind)
        _set(made, "__dict__", fields)
        for name, value in self._state:
            _set(made, name, value)
        for name, copy in self._own_state:
            _set(made, name, copy())
        return made


def _copies(state: Mapping[str, object]) -> list[tuple[str, Callable[[], object]]]:
    return [(n, value.copy) for n, value in state.items() if isinstance(value, _KINDS)]
