"""The error tree, the table that chooses among its classes, and when to try again."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

import dashscope_oss
from dashscope_oss import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    ContentBlockedError,
    ContextLengthError,
    DashScopeError,
    InvalidRequestError,
    ModelNotFoundError,
    PermissionDeniedError,
    ProtocolError,
    QuotaExhaustedError,
    RateLimitError,
    ServerError,
    UnsupportedInputError,
)
from dashscope_oss.protocol.error_mapping import service_error
from dashscope_oss.transport.retry import delay, given_up, retry_after

CLASSES = sorted(
    (
        value
        for value in vars(dashscope_oss).values()
        if isinstance(value, type) and issubclass(value, DashScopeError)
    ),
    key=lambda kind: kind.__name__,
)

CODES = [
    (400, "InvalidParameter", "Range of top_p should be (0.0, 1.0]", InvalidRequestError),
    (400, "InvalidParameter", "Range of input length should be [1, 6500]", ContextLengthError),
    (400, "InvalidParameter", "Model not exist.", ModelNotFoundError),
    (400, "InvalidParameter", "Model not found", ModelNotFoundError),
    (400, "InvalidParameter.NotSupportEnableThinking", "", InvalidRequestError),
    (400, "InvalidParameter.DataInspection", "Unable to download", InvalidRequestError),
    (400, "DataInspectionFailed", "inappropriate content", ContentBlockedError),
    (400, "data_inspection_failed", "inappropriate content", ContentBlockedError),
    (400, "CustomRoleBlocked", "", ContentBlockedError),
    (400, "FaqRuleBlocked", "", ContentBlockedError),
    (400, "BadRequest.EmptyInput", "", InvalidRequestError),
    (400, "BadRequest.EmptyParameters", "", InvalidRequestError),
    (400, "BadRequest.EmptyModel", "", InvalidRequestError),
    (400, "BadRequest.IllegalInput", "", InvalidRequestError),
    (400, "BadRequest.TooLarge", "", InvalidRequestError),
    (413, "BadRequest.TooLarge", "", InvalidRequestError),
    (400, "InvalidURL", "", InvalidRequestError),
    (400, "InvalidURL.ConnectionRefused", "", InvalidRequestError),
    (400, "InvalidURL.Timeout", "", InvalidRequestError),
    (400, "Arrearage", "Access denied, please make sure your account", QuotaExhaustedError),
    (400, "UnsupportedOperation", "", InvalidRequestError),
    (400, "InvalidSchema", "", InvalidRequestError),
    (400, "InvalidInputLength", "", ContextLengthError),
    (400, "InternalError.Algo.InvalidParameter", "", InvalidRequestError),
    (400, "ServiceUnavailableError", "Role must be user or assistant", InvalidRequestError),
    (503, "ServiceUnavailableError", "Role must be user or assistant", InvalidRequestError),
    (
        400,
        "invalid_parameter_error",
        "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]",
        ContextLengthError,
    ),
    (401, "InvalidApiKey", "Invalid API-key provided.", AuthenticationError),
    (401, "invalid_api_key", "Incorrect API key provided.", AuthenticationError),
    (401, "NOT AUTHORIZED", "Access denied: Either you are not", AuthenticationError),
    (401, None, "invalid access token or token expired", AuthenticationError),
    (403, "AccessDenied", "Access denied.", PermissionDeniedError),
    (403, "access_denied", "Access denied.", PermissionDeniedError),
    (403, "AccessDenied.Unpurchased", "", PermissionDeniedError),
    (403, "Model.AccessDenied", "Model access denied.", PermissionDeniedError),
    (403, "Workspace.AccessDenied", "Workspace access denied.", PermissionDeniedError),
    (403, "App.AccessDenied", "", PermissionDeniedError),
    (403, "Endpoint.AccessDenied", "", PermissionDeniedError),
    (403, "AllocationQuota.FreeTierOnly", "", QuotaExhaustedError),
    (404, "ModelNotFound", "Model can not be found.", ModelNotFoundError),
    (404, "model_not_found", "The model x does not exist", ModelNotFoundError),
    (404, "Model.NotExist", "", ModelNotFoundError),
    (404, "model_not_supported", "Unsupported model x", ModelNotFoundError),
    (404, "WorkSpaceNotFound", "WorkSpace can not be found.", InvalidRequestError),
    (404, "NotFound", "", InvalidRequestError),
    (408, "RequestTimeOut", "", ServerError),
    (409, "Conflict", "", InvalidRequestError),
    (429, "Throttling", "", RateLimitError),
    (429, "Throttling.RateQuota", "Requests rate limit exceeded", RateLimitError),
    (429, "LimitRequests", "", RateLimitError),
    (429, "Throttling.BurstRate", "", RateLimitError),
    (429, "Throttling.Concurrency", "", RateLimitError),
    (429, "Throttling.AllocationQuota", "Allocated quota exceeded, please", RateLimitError),
    (429, "Throttling.AllocationQuota", "You exceeded your current quota", RateLimitError),
    (429, "insufficient_quota", "You exceeded your current quota", RateLimitError),
    (429, "Throttling.AllocationQuota", "Free allocated quota exceeded.", QuotaExhaustedError),
    (429, "insufficient_quota", "Free allocated quota exceeded.", QuotaExhaustedError),
    (429, "CommodityNotPurchased", "", QuotaExhaustedError),
    (429, "PrepaidBillOverdue", "", QuotaExhaustedError),
    (429, "PostpaidBillOverdue", "", QuotaExhaustedError),
    (500, "InternalError", "", ServerError),
    (500, "internal_error", "", ServerError),
    (500, "InternalError.Algo", "An error", ServerError),
    (500, "InternalError.Algo", "list index out of range", InvalidRequestError),
    (500, "InternalError.Algo", "Role must be in [user, assistant]", InvalidRequestError),
    (500, "InternalError.Algo", "Expecting ',' delimiter: line 1", InvalidRequestError),
    (500, "InternalError.Timeout", "", ServerError),
    (500, "RequestTimeOut", "Request timed out, try again later.", ServerError),
    (500, "SystemError", "", ServerError),
    (500, "ModelServiceFailed", "", ServerError),
    (500, "RequestRejected", "", ServerError),
    (503, "ModelServingError", "Too many requests.", ServerError),
    (503, "ModelUnavailable", "Model is unavailable, try again later.", ServerError),
]


@pytest.mark.parametrize(("status", "code", "message", "kind"), CODES)
def test_class_of_a_code(status, code, message, kind):
    error = service_error(status_code=status, code=code, message=message)
    assert type(error) is kind
    assert (error.status_code, error.code) == (status, code)


@pytest.mark.parametrize("code", ["ClientDisconnect", "APIConnectionError"])
def test_a_connection_that_the_service_lost_may_be_tried_again_in_spite_of_its_400(code):
    assert service_error(status_code=400, code=code, message="connection left").retryable


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (402, QuotaExhaustedError),
        (403, PermissionDeniedError),
        (404, ModelNotFoundError),
        (408, ServerError),
        (409, InvalidRequestError),
        (413, InvalidRequestError),
        (418, InvalidRequestError),
        (429, RateLimitError),
        (500, ServerError),
        (502, ServerError),
        (503, ServerError),
        (504, ServerError),
        (599, ServerError),
        (302, ProtocolError),
        (200, ProtocolError),
        (None, ProtocolError),
    ],
)
@pytest.mark.parametrize("code", [None, "", "NeverHeardOf", "NeverHeardOf.Detail"])
def test_class_of_a_status_where_the_code_says_nothing(status, code, kind):
    assert type(service_error(status_code=status, code=code)) is kind


def test_the_code_decides_before_the_status():
    assert type(service_error(status_code=200, code="Throttling")) is RateLimitError
    assert type(service_error(status_code=500, code="InvalidApiKey")) is AuthenticationError


def test_the_kind_in_the_spelling_of_another_edition_of_the_page():
    assert type(service_error(status_code=400, code="MODELNOTFOUND")) is ModelNotFoundError


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_only_what_waiting_can_cure_is_retryable(kind):
    cured = {RateLimitError, ServerError, APIConnectionError, APITimeoutError}
    assert kind.retryable == (kind in cured)


def test_what_is_raised_before_a_request_is_a_value_error_too():
    assert issubclass(UnsupportedInputError, ValueError)
    assert issubclass(ConfigurationError, ValueError)


def test_the_text_names_model_reason_code_request_and_advice():
    error = service_error(
        status_code=401,
        code="InvalidApiKey",
        message="Invalid API-key provided.",
        request_id="fb53c4ec",
        model="belle-llama-13b-2m-v1",
    )
    assert str(error) == (
        "belle-llama-13b-2m-v1: Invalid API-key provided. "
        "[status 401, code InvalidApiKey, request_id fb53c4ec] "
        "Check DASHSCOPE_API_KEY: a key belongs to one region."
    )


def test_a_wait_that_was_asked_for_is_in_the_text():
    assert "retry_after 90" in str(service_error(status_code=429, retry_after=90))


def test_an_error_without_a_reason_says_so():
    assert "gave no reason" in str(service_error(status_code=500))


def test_a_wrong_endpoint_gets_a_hint():
    text = "url error, please check url！"
    assert "model_info" in str(
        service_error(status_code=400, code="InvalidParameter", message=text)
    )


@pytest.mark.parametrize("field", ["message", "code", "request_id"])
def test_the_text_stays_short_whatever_was_sent(field):
    said = {"message": "m", "code": "c", "request_id": "r", field: "x" * 100_000}
    assert len(str(service_error(status_code=401, model="glm-5", **said))) < 4000


def test_the_text_stays_short_if_everything_that_was_sent_is_long():
    long = "x" * 100_000
    error = service_error(
        status_code=401, code=long, message=long, request_id=long, model="belle-llama-13b-2m-v1"
    )
    assert len(str(error)) < 4000


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy])
def test_every_class_survives_pickling_with_all_it_holds(kind, copied):
    error = kind(
        "reason",
        status_code=429,
        code="Throttling",
        request_id="r-1",
        retry_after=2.5,
        partial_text="so far",
        model="glm-5",
        hint="a hint",
    )
    again = copied(error)
    assert type(again) is kind
    assert (vars(again), str(again), again.args) == (vars(error), str(error), error.args)


# When to try again


def _error(kind: type[DashScopeError], wait: float | None = None) -> DashScopeError:
    return kind("m", retry_after=wait)


@pytest.mark.parametrize(
    ("attempt", "error", "wait"),
    [
        (1, _error(ServerError), 0.5),
        (2, _error(ServerError), 1.0),
        (3, _error(RateLimitError), 2.0),
        (4, _error(APIConnectionError), 4.0),
        (5, _error(APITimeoutError), 8.0),
        (6, _error(ServerError), 8.0),
        (1000, _error(ServerError), 8.0),
        (1, _error(RateLimitError, 0.0), 0.0),
        (1, _error(RateLimitError, 7.25), 7.25),
        (1, _error(ServerError, 60.0), 60.0),
        (1, _error(RateLimitError, 60.5), None),
        (1001, _error(ServerError), None),
        (1, _error(InvalidRequestError), None),
        (1, _error(InvalidRequestError, 1.0), None),
        (1, _error(ContentBlockedError), None),
        (1, _error(QuotaExhaustedError), None),
        (1, _error(AuthenticationError), None),
        (1, _error(ModelNotFoundError), None),
        (1, _error(ProtocolError), None),
    ],
)
def test_delay(attempt, error, wait):
    assert delay(attempt, error, max_retries=1000, draw=lambda: 1.0) == wait


def test_no_retries_means_none():
    assert delay(1, _error(ServerError), max_retries=0) is None


def test_the_whole_wait_is_drawn_by_lot():
    waits = [delay(3, _error(ServerError), max_retries=9, draw=lambda d=d: d) for d in (0.0, 0.5)]
    assert waits == [0.0, 1.0]
    drawn = {delay(5, _error(ServerError), max_retries=9) for _ in range(50)}
    assert len(drawn) > 25
    assert all(0 <= wait < 8 for wait in drawn)


NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3),
        ({"retry-after": " 3 "}, 3),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "9000"}, 9000),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:10 GMT"}, 10),
        ({"retry-after": format_datetime(NOW)}, 0),
        ({"retry-after": "Sat, 21 Nov 2026 11:59:50 GMT"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after-ms": "-3"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Sat, 99 Nov 2026"}, None),
        ({"retry-after": "Sat, 21 Nov 999999 12:00:10 GMT"}, None),
    ],
)
def test_retry_after(headers, wait):
    assert retry_after(headers, NOW.timestamp()) == wait


@pytest.mark.parametrize(
    ("asked", "attempt", "wait", "said"),
    [
        (90.0, 1, None, "The service asks to wait 90 s; a call waits 60."),
        (None, 1, 2.5, "There is no time left to wait 2.5 s for another try: see total_timeout."),
        (None, 3, None, "Given up after 3 tries."),
        (None, 1, None, ""),
    ],
)
def test_why_a_call_is_not_tried_again_is_told_in_its_error(asked, attempt, wait, said):
    assert given_up(RateLimitError("slow down", retry_after=asked), attempt, wait).hint == said
