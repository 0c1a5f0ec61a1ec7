"""What is tried again, how often, and after which wait."""

import time

import httpx2
import pytest

from dashscope_oss import (
    DashScopeError,
    RateLimitError,
    ServerError,
)
from dashscope_oss.gateway import Answer, Fault
from dashscope_oss.transport import retry
from tests.llama_index.examples import CHAT
from tests.llama_index.mock_service import failing, model_over


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a wait that the service asks for takes time."""
    monkeypatch.setattr(retry, "LONGEST_WAIT", 0)


@pytest.mark.parametrize("fault", [Fault(), Fault(503, "ModelUnavailable"), Fault(cut=True)])
@pytest.mark.parametrize("ask", ["complete", "astream_chat"], indirect=True)
def test_what_waiting_may_cure_is_tried_again(make, ask, fault):
    """Over real sockets."""
    llm = make(CHAT, fault, Answer("at last"))
    assert ask(llm, "hi").text == "at last"
    assert len(make.requests) == 2


def test_retries_can_be_turned_off(make):
    with pytest.raises(RateLimitError):
        make(CHAT, Fault(), max_retries=0).complete("hi")
    assert len(make.requests) == 1


def test_a_status_that_waiting_may_cure_is_tried_again(ask):
    """With the same request."""
    for status in (429, 500, 502, 503, 504):
        handle, bodies = failing(status)
        assert ask(model_over(handle), "hi").text == "at last"
        assert len(bodies) == 2
        assert bodies[0] == bodies[1]


@pytest.mark.parametrize("ask", ["complete", "astream_chat"], indirect=True)
def test_the_wait_is_what_the_service_asks_for(ask):
    """``retry-after``, in seconds."""
    handle, _ = failing(429, retry_after=0.2)
    start = time.monotonic()
    assert ask(model_over(handle), "hi").text == "at last"
    assert time.monotonic() - start >= 0.2


def test_a_service_that_cannot_be_reached_is_tried_again(ask):
    refused = httpx2.ConnectError("refused")
    handle, bodies = failing(refused, refused)
    assert ask(model_over(handle), "hi").text == "at last"
    assert len(bodies) == 3


def test_max_retries_counts_the_tries_after_the_first(ask):
    """And nobody multiplies them by tries of its own."""
    for retries in (0, 1, 3):
        handle, bodies = failing(*[503] * 10)
        with pytest.raises(ServerError):
            ask(model_over(handle, max_retries=retries), "hi")
        assert len(bodies) == retries + 1


def test_what_waiting_cannot_cure_is_not_tried_again(ask):
    for status in (400, 401, 403, 404):
        handle, bodies = failing(status)
        with pytest.raises(DashScopeError) as refused:
            ask(model_over(handle), "hi")
        assert refused.value.status_code == status
        assert len(bodies) == 1
