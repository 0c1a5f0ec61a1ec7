"""A failure is never an empty answer, and says what happened."""

import pytest
from llama_index.core.llms import ChatMessage

from dashscope_oss import (
    APIConnectionError,
    AuthenticationError,
    ContentBlockedError,
    DashScopeError,
    InvalidRequestError,
    ModelNotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ServerError,
)
from dashscope_oss.gateway import Answer, Fault
from tests.llama_index.examples import ALL_METHODS, BROKEN, CHAT, EXPIRED, PROMPT_ONLY, STREAMS
from tests.llama_index.mock_service import message, model_over, streamed


@ALL_METHODS
def test_an_expired_key_raises_in_all_eight_methods(make, ask):
    """The error names the service's code, and says what to check."""
    with pytest.raises(AuthenticationError, match=r"Invalid API-key.*InvalidApiKey") as refused:
        ask(make(CHAT, EXPIRED), "hi")
    assert (refused.value.status_code, refused.value.code) == (401, "InvalidApiKey")
    assert refused.value.request_id
    assert len(make.requests) == 1


@pytest.mark.parametrize("ask", ["complete", "astream_chat"], indirect=True)
def test_every_refusal_has_its_type(make, ask):
    """With code, request id and model."""
    for status, code, kind in [
        (403, "AccessDenied", PermissionDeniedError),
        (400, "Arrearage", PermissionDeniedError),
        (404, "ModelNotFound", ModelNotFoundError),
        (400, "InvalidParameter", InvalidRequestError),
        (400, "DataInspectionFailed", ContentBlockedError),
        (500, "InternalError", ServerError),
    ]:
        llm = make(CHAT, Fault(status, code, "No."), max_retries=0)
        with pytest.raises(kind) as refused:
            ask(llm, "hi")
        assert (refused.value.code, refused.value.model) == (code, CHAT)
        assert refused.value.request_id


@pytest.mark.parametrize("ask", STREAMS, indirect=True)
def test_a_stream_that_breaks_raises_with_the_text_so_far(make, ask):
    with pytest.raises(ServerError) as broken:
        ask(make(CHAT, BROKEN), "hi")
    assert broken.value.partial_text == "piece 1 piece 2 "


def test_a_stream_that_is_cut_raises_behind_what_came(make):
    llm = make(CHAT, Fault(after=1, cut=True))
    seen = []
    with pytest.raises(DashScopeError) as broken:
        seen.extend(chunk.delta for chunk in llm.stream_chat([ChatMessage("hi")]))
    assert "".join(seen) == broken.value.partial_text == "piece 1 "


@pytest.mark.parametrize("ask", STREAMS, indirect=True)
def test_a_stream_that_is_cut_raises(make, ask):
    """With the text so far, and there is no second try behind it."""
    with pytest.raises(APIConnectionError) as broken:
        ask(make(PROMPT_ONLY, Fault(after=2, cut=True), Answer("again")), "hi")
    assert broken.value.partial_text == "piece 1 piece 2 "
    assert len(make.requests) == 1


@pytest.mark.parametrize("ask", STREAMS, indirect=True)
def test_a_stream_that_ends_in_order_but_too_soon_raises(ask):
    """No finish reason, though there was a place for one; no second try."""
    requests = []
    unfinished = streamed(message("The sea "), message("was"))

    def handle(request):
        requests.append(request)
        return unfinished(request)

    with pytest.raises(ProtocolError, match="without a finish reason") as broken:
        ask(model_over(handle), "hi")
    assert broken.value.partial_text == "The sea was"
    assert len(requests) == 1
