"""Every way to call, one at a time."""

from __future__ import annotations

import pytest

from tests.transport.calling import Caller


@pytest.fixture(params=["send", "stream", "async-send", "async-stream"])
def call(request) -> Caller:
    return Caller(is_async="async" in request.param, streams="stream" in request.param)


@pytest.fixture(params=["stream", "async-stream"])
def streaming(request) -> Caller:
    return Caller(is_async="async" in request.param, streams=True)


@pytest.fixture(params=["send", "async-send"])
def whole(request) -> Caller:
    return Caller(is_async="async" in request.param, streams=False)
