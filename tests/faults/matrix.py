"""Which callers a test runs with.

- What depends on sockets, event loops, threads or a framework runs with all callers: take the
  fixture ``caller`` (or ``whole``, ``streaming``, ``blocking``, ``async_caller``).
- What depends on sockets and event loops but on no framework runs with the four of the core:
  take the fixture ``core``.
- A table of what may happen to a connection: :func:`table` runs each case once in the core, and
  those named as representatives with all callers of both frameworks.
- A table that no socket decides is no test of this folder: ``tests/protocol`` has those of bodies,
  codes and statuses, ``tests/transport`` those of waits and keys. A few of their cases are here.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import cycle, product

import pytest

from .callers import ASYNC_HTTP, FRAMEWORKS, MODES

WHOLE = ("chat", "achat")
STREAMING = ("stream", "astream")
BLOCKING = ("chat", "stream")
ASYNC = ("achat", "astream")

only_httpx2 = pytest.mark.skipif(
    ASYNC_HTTP == "aiohttp", reason="docs/scale/reliability.md names it as a difference of aiohttp"
)
"""Marks what is otherwise over aiohttp: one client a loop, closed by the user; its own proxies."""


def in_frameworks(modes: Iterable[str] = MODES) -> list[tuple[str, ...]]:
    """Return the callers of both frameworks in these modes."""
    return [(framework, mode) for framework in FRAMEWORKS for mode in modes]


def in_core(modes: Iterable[str] = MODES) -> list[tuple[str, ...]]:
    """Return the callers of the core in these modes."""
    return [("core", mode) for mode in modes]


def over_aiohttp(modes: Iterable[str] = MODES) -> list[tuple[str, ...]]:
    """Return the async callers of the core among these modes, with their calls over aiohttp."""
    return [("core", mode, "aiohttp") for mode in modes if mode in ASYNC]


def caller_id(caller: tuple[str, ...]) -> str:
    return "-".join(caller)


every_caller = pytest.mark.parametrize(
    "caller", [*in_frameworks(), *over_aiohttp()], indirect=True, ids=caller_id
)
"""Marks what runs with all callers of both frameworks, and in the core over aiohttp."""


def table(
    cases: Mapping[str, object] | Iterable[object],
    *representatives: str,
    modes: Sequence[str] = MODES,
    in_turns: bool = True,
    aiohttp: bool = False,
    differs_over_aiohttp: Container[str] = (),
) -> pytest.MarkDecorator:
    """Run a test, which takes ``caller`` and ``case``, once for each case of a table.

    Args:
        cases: by name; those without names are named by their text.
        representatives: names of the cases that also run in both frameworks, in all modes.
        modes: those in which it runs.
        in_turns: whether the core gets each case in one mode, and the next case in the next; where
            each mode goes its own way, it gets all cases in all modes.
        aiohttp: whether the representatives also run in the core over aiohttp.
        differs_over_aiohttp: cases that docs/scale/reliability.md names as its differences.
    """
    named = cases if isinstance(cases, Mapping) else {str(case): case for case in cases}
    core = in_core([mode for mode in modes if ASYNC_HTTP != "aiohttp" or mode in ASYNC])
    runs = list(zip(cycle(core), named, strict=False) if in_turns else product(core, named))
    callers = [*in_frameworks(modes), *(over_aiohttp(modes) if aiohttp else ())]
    runs += [(caller, name) for name in representatives for caller in callers]
    if ASYNC_HTTP == "aiohttp":
        runs = [run for run in runs if run[1] not in differs_over_aiohttp]
    return pytest.mark.parametrize(
        ("caller", "case"),
        [(caller, named[name]) for caller, name in runs],
        indirect=["caller"],
        ids=[f"{caller_id(caller)}-{name}" for caller, name in runs],
    )
