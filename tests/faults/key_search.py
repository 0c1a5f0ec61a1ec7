"""Looks for the key of these tests in an object and in all that it holds."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping

from pydantic import SecretStr

from .callers import KEY, chain

WALKED = (
    "dashscope_oss",
    "langchain_dashscope_oss",
    "llama_index_dashscope_oss",
    "langchain_core",
    "llama_index",
    "httpx2",
    "httpcore2",
    "h11",
)
"""Packages whose objects are looked into."""


def places_of_key(thing: object, seen: set[int] | None = None, where: str = "it") -> Iterator[str]:
    """Yield the places where the key stands in ``thing`` and in all that it holds."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, SecretStr | type) or inspect.isroutine(thing):
        return
    seen.add(id(thing))
    text = thing.decode("latin-1") if isinstance(thing, bytes) else f"{thing!r} {thing}"
    inside = [
        place
        for name, value in _parts(thing)
        for place in places_of_key(value, seen, f"{where}.{name}"[-300:])
    ]
    yield from inside
    if KEY in text and not inside:
        at = text.index(KEY)
        yield f"{where}: {text[max(0, at - 100) : at + 50]}"


def _parts(thing: object) -> Iterator[tuple[object, object]]:
    if isinstance(thing, Mapping):
        yield from thing.items()
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from enumerate(thing)
    elif type(thing).__module__.partition(".")[0] in WALKED:
        yield from dict(getattr(thing, "__dict__", {})).items()
    if isinstance(thing, BaseException):
        yield from (("cause", link) for link in chain(thing)[1:])
