"""Errors through both classes: of this package and of LangChain at once, with all they know."""

from __future__ import annotations

import pickle
from functools import partial

import pytest
from langchain_core import exceptions as lc
from langchain_core.runnables import RunnableLambda

import dashscope_oss
from dashscope_oss import DashScopeError, errors
from dashscope_oss.gateway import Answer, Fault
from langchain_dashscope_oss import errors as langchain_errors
from langchain_dashscope_oss.errors.conversion import raising_langchain_errors

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, DashScopeError)
]
MIDWAY = Fault(status=500, code="InternalError.Algo", message="An internal error.", after=2)
CUT = Fault(after=2, cut=True)


@pytest.fixture(params=["chat", "text"])
def either(request):
    """The chat model and the text model."""
    return request.getfixturevalue(request.param)


async def answered(llm, path, pieces=None):
    """Call by one of the four paths; put the pieces of text into the list and return it."""
    pieces = [] if pieces is None else pieces
    if path == "invoke":
        pieces.append(text_of(llm.invoke("Hi")))
    elif path == "ainvoke":
        pieces.append(text_of(await llm.ainvoke("Hi")))
    elif path == "stream":
        for piece in llm.stream("Hi"):
            pieces.append(text_of(piece))
    else:
        async for piece in llm.astream("Hi"):
            pieces.append(text_of(piece))
    return pieces


def text_of(answer):
    return getattr(answer, "text", answer)


PATHS = pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream", "astream"])


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_has_a_twin(kind):
    """Row 12: It is both, keeps the name, agrees on retrying, and is pickled with all it knows."""
    twin = getattr(langchain_errors, kind.__name__)
    assert issubclass(twin, kind)
    assert issubclass(twin, lc.ModelError)
    assert twin.__name__ == kind.__name__
    assert twin.is_retryable is kind.retryable
    assert issubclass(twin, ValueError) is issubclass(kind, ValueError)
    error = twin("said", status_code=400, code="C", request_id="r", partial_text="p", model="m")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is twin
    assert vars(again) == vars(error)
    assert str(again) == str(error)


@pytest.mark.parametrize(
    ("status", "code", "message", "theirs"),
    [
        (401, "InvalidApiKey", "", lc.ModelAuthenticationError),
        (403, "AccessDenied", "", lc.ModelPermissionDeniedError),
        (403, "AllocationQuota.FreeTierOnly", "", lc.ModelPermissionDeniedError),
        (404, "ModelNotFound", "", lc.ModelNotFoundError),
        (400, "InvalidParameter", "", lc.ModelInvalidRequestError),
        (
            400,
            "InvalidParameter",
            "Range of input length should be [1, 6500]",
            lc.ContextOverflowError,
        ),
        (400, "DataInspectionFailed", "", lc.ModelInvalidRequestError),
        (429, "Throttling", "", lc.ModelRateLimitError),
        (500, "InternalError", "", lc.ModelAPIError),
    ],
)
@PATHS
async def test_what_the_service_answers(either, path, status, code, message, theirs):
    """Row 12: Each is caught by LangChain's class, and has the service's words and ids."""
    fault = Fault(status=status, code=code, message=message or "No.")
    llm, _ = either(fault, max_retries=0)
    with pytest.raises(theirs) as caught:
        await answered(llm, path)
    error = caught.value
    assert isinstance(error, DashScopeError)
    assert (error.status_code, error.code, error.message) == (status, code, fault.message)
    assert error.request_id
    assert error.model == "llama3-8b-instruct"


@PATHS
async def test_a_full_service_is_asked_again(either, path, monkeypatch):
    """Row 13: 429 first, then an answer: two requests, no error."""
    monkeypatch.setattr("dashscope_oss.transport.retry.FIRST_WAIT", 0.001)
    llm, engine = either(Fault(), Answer("at last"))
    assert "".join(await answered(llm, path)) == "at last"
    assert len(engine.requests) == 2


@PATHS
async def test_a_wrong_key_is_not_asked_again(either, path):
    """Row 13: One request, one error."""
    llm, engine = either(Fault(status=401, code="InvalidApiKey"))
    with pytest.raises(dashscope_oss.AuthenticationError):
        await answered(llm, path)
    assert len(engine.requests) == 1


@pytest.mark.parametrize(
    ("fault", "theirs"), [(MIDWAY, lc.ModelAPIError), (CUT, lc.ModelError)], ids=["event", "cut"]
)
@pytest.mark.parametrize("path", ["stream", "astream"])
async def test_a_stream_that_breaks_raises_after_its_pieces(either, path, fault, theirs):
    """The pieces arrive, then the error, which knows the text so far; nothing is repeated."""
    llm, engine = either(fault, model="deepseek-v4-pro")
    pieces = []
    with pytest.raises(theirs) as caught:
        await answered(llm, path, pieces)
    assert pieces == ["piece 1 ", "piece 2 "]
    assert caught.value.partial_text == "".join(pieces)
    assert len(engine.requests) == 1


async def test_no_server(either):
    """Nobody listens: a connection error that says what to check."""
    llm, _ = either(base_url="http://127.0.0.1:9/api/v1", max_retries=0)
    with pytest.raises(lc.ModelConnectionError, match="Check base_url") as caught:
        llm.invoke("Hi")
    assert caught.value.is_retryable
    assert caught.value.__cause__ is not None


async def test_fallbacks_catch_langchains_class(chat):
    """with_fallbacks on ModelRateLimitError moves on to the next model."""
    full, _ = chat(Fault(), max_retries=0)
    free, _ = chat(Answer("from the other"))
    chain = full.with_fallbacks([free], exceptions_to_handle=(lc.ModelRateLimitError,))
    assert chain.invoke("Hi").text == "from the other"


def test_what_is_a_twin_already_stays_itself():
    """An error of an inner call, raised within a callback, is not made anew."""
    error = langchain_errors.RateLimitError("full")
    with pytest.raises(DashScopeError) as caught, raising_langchain_errors():
        raise error
    assert caught.value is error


def test_a_subclass_gets_the_twin_of_its_nearest_ancestor():
    """Errors of your own in a key function, say."""

    class Locked(errors.AuthenticationError):
        pass

    with pytest.raises(lc.ModelAuthenticationError, match="locked"), raising_langchain_errors():
        raise Locked("locked")


def test_other_errors_pass():
    """Only this package's errors are changed."""
    with pytest.raises(KeyError), raising_langchain_errors():
        raise KeyError("x")


async def test_an_error_in_a_chain_is_the_twin(chat):
    """Nothing on the way wraps it."""
    llm, _ = chat(Fault(status=401, code="InvalidApiKey"))
    with pytest.raises(lc.ModelAuthenticationError):
        (RunnableLambda(partial(str)) | llm).invoke("Hi")
