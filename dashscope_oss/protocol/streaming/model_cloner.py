"""Makes many pydantic objects of one kind cheaply, for the pieces of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

Model = TypeVar("Model", bound="BaseModel")

_MUTABLE = (dict, list, set)
_set_attribute = object.__setattr__


class ModelCloner(Generic[Model]):
    """Makes objects like ``original``, which pydantic has checked once.

    Checking each piece of a stream would cost more than all else that is done to it, though only
    a text differs. New values are not checked here, so they must be of the right
    type. No object shares a list, dict or set with another. What is copied is the state that
    pydantic pickles.
    """

    def __init__(self, original: Model) -> None:
        self._type = type(original)
        state = original.__getstate__()
        self._fields: dict[str, object] = state.pop("__dict__")
        self._copied_fields = _copiers(self._fields)
        self._state = [item for item in state.items() if not isinstance(item[1], _MUTABLE)]
        self._copied_state = _copiers(state)

    def makes(self, model_type: type[BaseModel]) -> bool:
        """Whether its objects are of ``model_type``."""
        return issubclass(self._type, model_type)

    def clone(self, **changes: object) -> Model:
        """Return a copy of the original with ``changes``, named as the fields are."""
        fields = self._fields.copy()
        for name, copy in self._copied_fields:
            fields[name] = copy()
        fields.update(changes)
        copied = self._type.__new__(self._type)
        _set_attribute(copied, "__dict__", fields)
        for name, value in self._state:
            _set_attribute(copied, name, value)
        for name, copy in self._copied_state:
            _set_attribute(copied, name, copy())
        return copied


def _copiers(state: Mapping[str, object]) -> list[tuple[str, Callable[[], object]]]:
    return [(name, value.copy) for name, value in state.items() if isinstance(value, _MUTABLE)]
