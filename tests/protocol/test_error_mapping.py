"""Which error an answer is: by the vendor's code, then by status and words, wherever it stands."""

from __future__ import annotations

import json

import pytest

from dashscope_oss import (
    AuthenticationError,
    ContentBlockedError,
    ContextLengthError,
    InvalidRequestError,
    ModelNotFoundError,
    PermissionDeniedError,
    ProtocolError,
    QuotaExhaustedError,
    RateLimitError,
    ServerError,
)
from dashscope_oss.protocol.error_mapping import (
    error_in_body,
    error_in_event,
    read_error_body,
    reports_error,
    service_error,
)
from dashscope_oss.protocol.streaming.sse import Event

# status, code, words, error
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
    (400, "InternalError", "no", ServerError),
    (418, "Throttling.RateQuota", "no", RateLimitError),
    (500, "InvalidParameter", "no", InvalidRequestError),
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


def error_of(status, code, message=None):
    return service_error(status_code=status, code=code, message=message)


def class_of(status, code, message=None):
    return type(error_of(status, code, message))


def test_the_class_of_every_code_that_the_vendor_documents():
    wrong = [row for row in CODES if class_of(*row[:3]) is not row[3]]
    assert wrong == []


STATUSES = {
    None: ProtocolError,
    200: ProtocolError,
    301: ProtocolError,
    302: ProtocolError,
    304: ProtocolError,
    400: InvalidRequestError,
    401: AuthenticationError,
    402: QuotaExhaustedError,
    403: PermissionDeniedError,
    404: InvalidRequestError,
    405: InvalidRequestError,
    408: ServerError,
    409: InvalidRequestError,
    413: InvalidRequestError,
    418: InvalidRequestError,
    422: InvalidRequestError,
    429: RateLimitError,
    499: InvalidRequestError,
    500: ServerError,
    501: ServerError,
    502: ServerError,
    503: ServerError,
    504: ServerError,
    529: ServerError,
    599: ServerError,
    600: ServerError,
}


@pytest.mark.parametrize("code", [None, "", "NeverHeardOf", "NeverHeardOf.Detail"])
def test_the_status_decides_where_no_code_is_known(code):
    assert {status: class_of(status, code) for status in STATUSES} == STATUSES


def test_the_code_decides_before_the_status_in_any_case():
    assert class_of(200, "Throttling") is RateLimitError
    assert class_of(500, "InvalidApiKey") is AuthenticationError
    assert class_of(400, "MODELNOTFOUND") is ModelNotFoundError


def test_only_some_statuses_are_worth_a_second_try():
    retryable = {
        status for status in range(300, 601) if service_error(status_code=status).retryable
    }
    assert retryable == {408, 429, 500, 502, 503, 504}


# status, code, words; a quota per minute is one, whatever its words say of a plan
CURABLE = [
    (429, "Throttling", "slow down"),
    (429, "Throttling.RateQuota", "Requests rate limit exceeded, try again later."),
    (429, "Throttling.BurstRate", "Request rate increased too quickly."),
    (429, "Throttling.AllocationQuota", "Allocated quota exceeded, please increase it."),
    (429, "Throttling.AllocationQuota", "You exceeded your current quota, please check"),
    (429, "insufficient_quota", "You exceeded your current quota, please check your plan"),
    (429, "LimitRequests", "You exceeded your current requests list."),
    (400, "InternalError", "no"),
    (501, "InternalError", ""),
    (500, "InternalError.Algo", "no"),
    (500, "InternalError.Timeout", "no"),
    (503, "ModelUnavailable", "no"),
    (500, "ModelServingError", "Too many requests."),
    (400, "ClientDisconnect", ""),
    (400, "APIConnectionError", ""),
]
LASTING = [
    (429, "Throttling.AllocationQuota", "Free allocated quota exceeded."),
    (429, "insufficient_quota", "Free allocated quota exceeded."),
    (429, "Throttling.AllocationQuota", "The free tier of the model has been exhausted."),
    (403, "AllocationQuota.FreeTierOnly", "The free tier has been exhausted."),
    (429, "CommodityNotPurchased", "no"),
    (400, "Arrearage", "Access denied, your account is in debt."),
    (500, "Arrearage", "no"),
    (500, "DataInspectionFailed", "no"),
    (500, "InvalidParameter", "no"),
    (400, "InvalidParameter", ""),
    (429, "InvalidApiKey", "no"),
    (503, "ServiceUnavailableError", "no"),
    (502, "ModelNotFound", "no"),
    (599, "NeverHeardOf", ""),
]


def test_a_code_that_is_known_decides_whether_waiting_may_cure_it():
    wrong = [
        (row, is_curable)
        for rows, is_curable in ((CURABLE, True), (LASTING, False))
        for row in rows
        if error_of(*row).retryable is not is_curable
    ]
    assert wrong == []


def test_a_quota_that_is_used_up_says_what_to_check():
    used_up = [error_of(*row) for row in LASTING if class_of(*row) is QuotaExhaustedError]
    assert len(used_up) == 7
    assert all("Check balance and free quota" in str(error) for error in used_up)


def test_an_error_holds_what_was_said():
    error = service_error(
        status_code=429,
        code="Throttling",
        message="slow down",
        request_id="r-1",
        retry_after=90,
        partial_text="so far",
        model="glm-5",
    )
    assert str(error).startswith(
        "glm-5: slow down. [status 429, code Throttling, request_id r-1, retry_after 90]"
    )
    assert error.partial_text == "so far"


def test_both_ends_of_a_long_message_are_searched_and_no_more():
    """A message of megabytes made of the beginnings of patterns would hold its call for hours."""
    echoed = "exceeds the maximum " * 100_000
    too_long = service_error(status_code=400, message=f"{echoed}, input is too long")
    in_the_middle = service_error(status_code=400, message=f"{echoed}input is too long{echoed}")
    assert [type(too_long), type(in_the_middle)] == [ContextLengthError, InvalidRequestError]


def test_an_error_without_a_reason_says_so():
    assert "gave no reason" in str(service_error(status_code=500))


def test_a_wrong_endpoint_gets_a_hint():
    error = service_error(status_code=400, code="InvalidParameter", message="url error, please")
    assert "set model_info with endpoint" in str(error)


REPORTS = [
    ({"output": {}, "usage": {}, "request_id": "r"}, False),
    ({"output": {}, "new": 1}, False),
    ({"code": "", "message": ""}, False),
    ({"code": "Success"}, False),
    ({"status_code": 200, "code": "200"}, False),
    ({"code": 200}, False),
    ({"code": "Throttling", "output": {"text": "hi"}}, True),
    ({"Code": "Throttling"}, True),
    ({"code": 429}, True),
    ({"status_code": 400}, True),
    ({"status_code": True}, False),
    ({"status_code": 4000}, False),
    ({"error": {"message": "m"}}, True),
    ({"error": "m"}, True),
]


def test_whether_a_body_of_status_200_is_an_error():
    assert [(body, reports_error(body)) for body, _ in REPORTS] == REPORTS


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ({"code": "Throttling", "message": "m"}, RateLimitError, "m"),
        ({"Code": "Throttling", "Message": "m"}, RateLimitError, "m"),
        ({"error": {"code": "invalid_api_key", "message": "m"}}, AuthenticationError, "m"),
        ({"error": "Not Found"}, ProtocolError, "Not Found"),
        ({"detail": "no route"}, ProtocolError, "no route"),
        ({"detail": [{"loc": ["x"]}]}, ProtocolError, """'[{"loc":["x"]}]'"""),
        ({"status_code": 503, "msg": "m"}, ServerError, "m"),
        ({"code": 404}, InvalidRequestError, "the service gave no reason"),
    ],
)
def test_the_words_of_the_service_or_of_a_proxy_are_kept(body, error, message):
    found = error_in_body(body, status_code=None, model="glm-5")
    assert (type(found), found.message, found.model) == (error, message, "glm-5")


@pytest.mark.parametrize("name", ["request_id", "RequestId"])
def test_the_request_id_is_kept(name):
    assert error_in_body({"code": "c", name: "r-1"}, status_code=400).request_id == "r-1"


BODY = {"code": "Arrearage", "message": "m"}
WRITTEN = json.dumps(BODY).encode()


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (WRITTEN, (BODY, None)),
        (b"event:error\n:HTTP_STATUS/400\ndata:" + WRITTEN, (BODY, 400)),
        (b": ping\n\ndata:x\n\ndata:" + WRITTEN + b"\n\n", (BODY, None)),
        (
            b'{"code": "c", "message": "\\ud83c\\udfef \\ud800"}',
            ({"code": "c", "message": "🏯 \ufffd"}, None),
        ),
        (b'{"code": "c\xff"}', ({"code": "c\ufffd"}, None)),
        (b'{"code": "Arrearage", "mess', ({"code": "Arrearage"}, None)),
        (b"<html>", (None, None)),
        (b"[1", (None, None)),
        (b"", (None, None)),
    ],
)
def test_the_body_of_an_error_is_read_as_far_as_it_can_be(body, read):
    assert read_error_body(body) == read


@pytest.mark.parametrize(
    ("event", "status", "message"),
    [
        (Event("error", 429, b'{"message": "slow"}'), 429, "slow"),
        (Event("error", None, b""), None, "the service gave no reason"),
        (Event("error", 500, b"oops"), 500, "the service gave no reason: 'oops'"),
        (Event("result", 200, b'{"code": "c", "message": "m"}'), None, "m"),
    ],
)
def test_the_error_of_an_event_has_its_status_and_its_data(event, status, message):
    error = error_in_event(event, "glm-5")
    assert (error.status_code, error.message, error.model) == (status, message, "glm-5")
    assert error.response.content == event.data
    assert error.response.status_code == (event.status or 200)


TOO_LONG = [
    "Range of input length should be [1, 30720]",
    "The prompt is longer than the maximum model length of 2048",
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
    "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    "Input tokens exceed the configured limit of 4096 tokens",
    "Prompt is too long",
    "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens",
    "`inputs` must have less than 4096 tokens. Given: 5000",
    "the request exceeds the available context size, try increasing it",
    "request (5000 tokens) exceeds the available context size (4096 tokens)",
    "Your request exceeded model token limit: 4096",
    "Decoder prompt (length 5000) is longer than the maximum model length of 4096",
    "Requested token count exceeds the model's maximum context length of 4096 tokens",
    "input is too long for requested model",
    "You passed 1193 input tokens and requested 7000 output tokens. However, the model's "
    "context length is only 8192 tokens, resulting in a maximum input length of 1192 tokens.",
    "Input length (5000 tokens) exceeds the maximum allowed length (4096 tokens).",
    "Prompt length (5000) exceeds maximum input length (4096).",
    "Context size has been exceeded.",
    "prompt too long; exceeded max context length by 4021 tokens",
    "the input length exceeds the context length",
    "The number of tokens to keep from the initial prompt is greater than the context length.",
    "the model is loaded with context length of only 4096 tokens, which is not enough",
    "Number of prompt tokens: 5000 exceeds model max length: 4096",
    "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
    "This model's maximum prompt length is 131072 but the request contains 200000 tokens.",
    "The input token count (40000) exceeds the maximum number of tokens allowed (32768).",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081",
    "Please reduce the length of the messages or completion.",
    "Prompt has 2000 tokens, but the configured context size is 1000 tokens",
    "invalid params, context window exceeds limit",
    "Prompt exceeds max length",
    "total message size 2306631 exceeds limit 2097152",
    "token limit exceeded, please shorten your input",
    "Input exceeds the context limit",
    "输入内容超过模型最大上下文长度",
    "Prompt 超长",
]


def test_every_known_wording_of_too_long_is_a_context_length_error():
    """The vendor, and every engine and service whose words are known."""
    missed = [
        (status, words)
        for words in TOO_LONG
        for status in (200, 400, 413, 500, None)
        if class_of(status, None, words) is not ContextLengthError
    ]
    assert missed == []


@pytest.mark.parametrize(
    "code",
    ["context_length_exceeded", "exceed_context_size_error", "model_context_window_exceeded"],
)
def test_a_code_may_say_too_long_where_the_words_do_not(code):
    assert type(service_error(status_code=400, code=code, message="no")) is ContextLengthError


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens must be at least 1",
        "Requests rate limit exceeded, try again later.",
        "The length of stop must be at most 4",
        "Conversation roles must alternate user/assistant",
    ],
)
def test_other_words_about_lengths_and_limits_are_not_too_long(text):
    assert type(service_error(status_code=400, message=text)) is InvalidRequestError


@pytest.mark.parametrize(
    "text", ["Not Found", "404 page not found", "no Route matched with those values"]
)
def test_a_404_that_is_not_about_the_model_points_at_the_address(text):
    error = service_error(status_code=404, message=text)
    assert type(error) is InvalidRequestError
    assert "base_url" in str(error)


@pytest.mark.parametrize(
    "text", ["The model `x` does not exist.", "model 'x' not found", "模型不存在"]
)
def test_a_404_about_the_model_is_a_model_not_found_error(text):
    assert type(service_error(status_code=404, message=text)) is ModelNotFoundError


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Failed to download multimodal content.", "its address must be public"),
        ("Download the media resource timed out", "its address must be public"),
        ("Exceeded limit on max bytes per data-uri item : 10485760", "Make the file smaller, or"),
        ("Multimodal file size is too large", "Make the file smaller, or upload it"),
        ("Exceeded limit on max data-uri per request: 250", "Send fewer files along"),
    ],
)
def test_what_the_service_says_of_files_gets_a_hint(text, hint):
    error = service_error(status_code=400, code="InvalidParameter", message=text)
    assert hint in str(error)
