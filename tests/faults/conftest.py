"""``caller`` runs a test in all eight ways, ``whole`` in those without a stream, ``streaming``."""

from __future__ import annotations

import pytest

from .callers import FRAMEWORKS, MODES, Caller

WAYS = [(framework, mode) for framework in FRAMEWORKS for mode in MODES]
WHOLE = [way for way in WAYS if not way[1].endswith("stream")]
STREAMING = [way for way in WAYS if way[1].endswith("stream")]


def _id(way: tuple[str, str]) -> str:
    return "-".join(way)


@pytest.fixture(params=WAYS, ids=_id)
def caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(*request.param)


@pytest.fixture(params=WHOLE, ids=_id)
def whole(request: pytest.FixtureRequest) -> Caller:
    return Caller(*request.param)


@pytest.fixture(params=STREAMING, ids=_id)
def streaming(request: pytest.FixtureRequest) -> Caller:
    return Caller(*request.param)
