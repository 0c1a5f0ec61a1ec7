"""Errors of both classes: this package's and LangChain's at once, with all that they know."""

from __future__ import annotations

import pickle
from functools import partial

import httpx2
import pytest
from langchain_core import exceptions as lc
from langchain_core.runnables import RunnableLambda

from dashscope_oss import RetiredModelWarning, errors
from dashscope_oss.gateway import Answer, Fault
from dashscope_oss.transport import retirement
from langchain_dashscope_oss import errors as langchain_errors
from langchain_dashscope_oss.errors.conversion import as_langchain_error, raising_langchain_errors

from .calling import CLASSES, EACH_PATH_ONCE, PATHS, STREAMS, THINKER, Server, call, text_of

CORE_CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.DashScopeError)
]


def test_every_class_of_the_core_has_one_of_its_name_that_is_langchains_too(subtests):
    """It agrees on retrying, and is pickled with all it knows."""
    for core_class in CORE_CLASSES:
        with subtests.test(core_class.__name__):
            both = getattr(langchain_errors, core_class.__name__)
            assert core_class.__name__ in langchain_errors.__all__
            assert issubclass(both, core_class)
            assert issubclass(both, langchain_errors.DashScopeError)
            assert issubclass(both, lc.ModelError)
            assert both.is_retryable is core_class.retryable
            assert issubclass(both, ValueError) is issubclass(core_class, ValueError)
            error = both(
                "No.", status_code=400, code="C", request_id="r", partial_text="p", model="m"
            )
            again = pickle.loads(pickle.dumps(error))
            assert type(again) is both
            assert vars(again) == vars(error)
            assert str(again) == str(error)


def test_the_classes_form_the_same_tree_as_the_cores():
    for core_class in CORE_CLASSES:
        both = getattr(langchain_errors, core_class.__name__)
        for parent in set(core_class.__mro__) & set(CORE_CLASSES):
            assert issubclass(both, getattr(langchain_errors, parent.__name__))


TOO_LONG = "Range of input length should be [1, 6500]"


@CLASSES
def test_what_the_service_answers_is_caught_by_langchains_class(cls, subtests):
    """And has the service's words and ids."""
    for status, code, message, theirs in [
        (401, "InvalidApiKey", "No.", lc.ModelAuthenticationError),
        (403, "AccessDenied", "No.", lc.ModelPermissionDeniedError),
        (403, "AllocationQuota.FreeTierOnly", "No.", lc.ModelPermissionDeniedError),
        (404, "ModelNotFound", "No.", lc.ModelNotFoundError),
        (400, "InvalidParameter", "No.", lc.ModelInvalidRequestError),
        (400, "InvalidParameter", TOO_LONG, lc.ContextOverflowError),
        (400, "DataInspectionFailed", "No.", lc.ModelInvalidRequestError),
        (429, "Throttling", "No.", lc.ModelRateLimitError),
        (500, "InternalError", "No.", lc.ModelAPIError),
    ]:
        with subtests.test(f"{code}: {message}"):
            body = {"code": code, "message": message, "request_id": "r"}
            server = Server(lambda _, s=status, b=body: httpx2.Response(s, json=b))
            with pytest.raises(theirs) as caught:
                server.model(cls, max_retries=0).invoke("Hi")
            error = caught.value
            assert isinstance(error, langchain_errors.DashScopeError)
            assert (error.status_code, error.code, error.message) == (status, code, message)
            assert (error.request_id, error.model) == ("r", "llama3-8b-instruct")


@PATHS
async def test_an_error_is_the_same_by_every_path_and_not_asked_for_again(either, path):
    llm, engine = either(Fault(status=401, code="InvalidApiKey"))
    with pytest.raises(lc.ModelAuthenticationError) as caught:
        await call(llm, path)
    assert isinstance(caught.value, errors.AuthenticationError)
    assert len(engine.requests) == 1


@pytest.mark.parametrize(
    ("fault", "theirs"),
    [
        (Fault(status=500, code="InternalError.Algo", message="No.", after=2), lc.ModelAPIError),
        (Fault(after=2, cut=True), lc.ModelError),
    ],
    ids=["event", "cut"],
)
@STREAMS
async def test_a_stream_that_breaks_raises_after_its_pieces(either, path, fault, theirs):
    """The error knows the text so far; nothing is repeated."""
    llm, engine = either(fault, model=THINKER)
    received: list[str] = []
    with pytest.raises(theirs) as caught:
        await receive(llm, path, received)
    assert received == ["piece 1 ", "piece 2 "]
    assert caught.value.partial_text == "".join(received)
    assert len(engine.requests) == 1


async def receive(llm, path, received):
    """Put the pieces of a stream into the list as they come."""
    if path == "stream":
        received.extend(map(text_of, llm.stream("Hi")))
    else:
        async for piece in llm.astream("Hi"):
            received += [text_of(piece)]


@STREAMS
async def test_an_error_in_a_stream_has_the_events_own_status_code_and_id(either, path):
    llm, _ = either(Fault(status=500, code="InternalError.Algo", message="No.", after=2))
    with pytest.raises(lc.ModelAPIError) as caught:
        await call(llm, path)
    assert (caught.value.status_code, caught.value.code) == (500, "InternalError.Algo")
    assert caught.value.request_id


@EACH_PATH_ONCE
async def test_blocked_content_is_a_refusal_whose_message_says_why(either, path):
    """In LangChain's own form."""
    llm, _ = either(Fault(400, "DataInspectionFailed", "Not this."))
    with pytest.raises(lc.ModelInvalidRequestError) as caught:
        await call(llm, path)
    error = caught.value
    assert error.raw_message.content == [
        {"type": "refusal", "refusal": "Not this.", "extras": {"code": "DataInspectionFailed"}}
    ]
    assert error.raw_message.response_metadata["request_id"] == error.request_id
    assert not error.is_retryable
    assert pickle.loads(pickle.dumps(error)).raw_message == error.raw_message
    refusal = getattr(lc, "ModelRefusalError", None)  # younger than langchain-core 1.6
    assert refusal is None or isinstance(error, refusal)


async def test_without_a_server_the_error_says_what_to_check(either):
    llm, _ = either(base_url="http://127.0.0.1:9/api/v1", max_retries=0)
    with pytest.raises(lc.ModelConnectionError, match="Check base_url") as caught:
        llm.invoke("Hi")
    assert caught.value.is_retryable
    assert caught.value.__cause__ is not None


@CLASSES
def test_a_retired_model_at_the_vendor_is_warned_of_and_its_refusal_says_what_to_do(
    cls, monkeypatch
):
    monkeypatch.setattr(retirement, "_warned", set())  # once in the life of a process
    body = {"code": "ModelNotFound", "message": "Model not exist.", "request_id": "r"}
    server = Server(lambda _: httpx2.Response(404, json=body))
    llm = server.model(cls, model="llama2-7b-chat-v2", base_url=None, api_key="sk-x")
    with (
        pytest.warns(RetiredModelWarning, match=r"2025-07-02.*dashscope-oss serve"),
        pytest.raises(lc.ModelNotFoundError, match="dashscope-oss serve"),
    ):
        llm.invoke("Hi")


async def test_nothing_in_a_chain_wraps_an_error(either):
    llm, _ = either(Fault(status=401, code="InvalidApiKey"))
    with pytest.raises(lc.ModelAuthenticationError):
        (RunnableLambda(partial(str)) | llm).invoke("Hi")


async def test_langchains_retries_and_fallbacks_go_by_its_classes(either):
    llm, engine = either(Fault(), Answer("at last"), max_retries=0)
    again = llm.with_retry(
        retry_if_exception_type=(lc.ModelRateLimitError,), wait_exponential_jitter=False
    )
    assert text_of(again.invoke("Hi")) == "at last"
    assert len(engine.requests) == 2
    wrong, _ = either(Fault(status=401, code="InvalidApiKey"))
    safe = wrong.with_fallbacks([llm], exceptions_to_handle=(lc.ModelAuthenticationError,))
    assert text_of(await safe.ainvoke("Hi")) == "at last"


# Conversion.


def test_an_error_of_langchains_kind_stays_itself():
    """Raised within a callback by an inner call, or asked for twice."""
    error = as_langchain_error(errors.RateLimitError("full"))
    assert type(error) is langchain_errors.RateLimitError
    assert as_langchain_error(error) is error
    with pytest.raises(errors.DashScopeError) as caught, raising_langchain_errors():
        raise error
    assert caught.value is error


def test_a_subclass_becomes_the_class_of_its_nearest_ancestor():
    """Errors of your own in a key function, say."""

    class Locked(errors.AuthenticationError):
        pass

    with pytest.raises(lc.ModelAuthenticationError, match="locked"), raising_langchain_errors():
        raise Locked("locked")


def test_errors_of_others_pass():
    with pytest.raises(KeyError), raising_langchain_errors():
        raise KeyError("x")
