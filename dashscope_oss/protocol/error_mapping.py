"""Which error an answer of the service is: by its code, then by status and words.

The vendor's ``code`` decides first, the HTTP status second: the service sends errors inside
answers with status 200, and one code contradicts its own name (``ServiceUnavailableError`` is a
bad request). Codes: the vendor's pages "返回状态码说明" and its English error page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx2
from pydantic_core import from_json, to_json

from dashscope_oss.errors import (
    APIConnectionError,
    AuthenticationError,
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
)
from dashscope_oss.protocol.json_body import quoted, read_json_object, text_or_empty
from dashscope_oss.protocol.streaming.sse import Decoder, Event

NO_REASON = "the service gave no reason"

_BY_CODE: dict[str, type[DashScopeError]] = {
    "invalidapikey": AuthenticationError,
    "invalid_api_key": AuthenticationError,
    "not authorized": AuthenticationError,
    "accessdenied": PermissionDeniedError,
    "access_denied": PermissionDeniedError,
    "model.accessdenied": PermissionDeniedError,
    "workspace.accessdenied": PermissionDeniedError,
    "app.accessdenied": PermissionDeniedError,
    "endpoint.accessdenied": PermissionDeniedError,
    "accessdenied.unpurchased": PermissionDeniedError,
    "arrearage": QuotaExhaustedError,
    "allocationquota.freetieronly": QuotaExhaustedError,
    "commoditynotpurchased": QuotaExhaustedError,
    "prepaidbilloverdue": QuotaExhaustedError,
    "postpaidbilloverdue": QuotaExhaustedError,
    "modelnotfound": ModelNotFoundError,
    "model_not_found": ModelNotFoundError,
    "model.notexist": ModelNotFoundError,
    "model_not_supported": ModelNotFoundError,
    "workspacenotfound": InvalidRequestError,
    "notfound": InvalidRequestError,
    "conflict": InvalidRequestError,
    "clientdisconnect": APIConnectionError,
    "apiconnectionerror": APIConnectionError,
    "datainspectionfailed": ContentBlockedError,
    "data_inspection_failed": ContentBlockedError,
    "customroleblocked": ContentBlockedError,
    "faqruleblocked": ContentBlockedError,
    "serviceunavailableerror": InvalidRequestError,
    "invalidparameter": InvalidRequestError,
    "internalerror.algo.invalidparameter": InvalidRequestError,
    "invalidurl": InvalidRequestError,
    "badrequest": InvalidRequestError,
    "unsupportedoperation": InvalidRequestError,
    "invalidschema": InvalidRequestError,
    "invalidinputlength": ContextLengthError,
    "requesttimeout": ServerError,
    "insufficient_quota": RateLimitError,
    "limitrequests": RateLimitError,
    "throttling": RateLimitError,
    "modelservingerror": ServerError,
    "modelunavailable": ServerError,
    "modelservicefailed": ServerError,
    "requestrejected": ServerError,
    "systemerror": ServerError,
    "internalerror": ServerError,
    "internal_error": ServerError,
}

_BY_STATUS: dict[int, type[DashScopeError]] = {
    401: AuthenticationError,
    402: QuotaExhaustedError,
    403: PermissionDeniedError,
    404: ModelNotFoundError,
    408: ServerError,
    429: RateLimitError,
}

_CURABLE = (408, 429, 500, 502, 503, 504)
"""Statuses that waiting may cure, if no code says more."""

# The code alone is not enough where the vendor files two cases under one: the text decides.
_BY_TEXT: tuple[tuple[type[DashScopeError], str, type[DashScopeError]], ...] = (
    (InvalidRequestError, "model not exist", ModelNotFoundError),
    (InvalidRequestError, "model not found", ModelNotFoundError),
    (RateLimitError, "free allocated quota", QuotaExhaustedError),
    (RateLimitError, "free quota", QuotaExhaustedError),
    (RateLimitError, "free tier", QuotaExhaustedError),
    (ServerError, "list index out of range", InvalidRequestError),
    (ServerError, "role must be in [", InvalidRequestError),
    (ServerError, "expecting ',' delimiter", InvalidRequestError),
)

_INPUT_TOO_LONG = (
    # the vendor, and its OpenAI-compatible door
    r"range of input length should be|input length should be|input is too long"
    # vLLM and SGLang, old and new; TensorRT-LLM
    r"|maximum (?:model|context|prompt|input) length|max(?:imum)?_model_len"
    r"|longer than the (?:maximum )?model|model'?s context length is only"
    r"|maximum allowed (?:length|tokens)|exceeds? the (?:maximum|model'?s)[^.]*(?:length|context)"
    r"|exceeds? (?:the )?(?:context|model max) (?:length|window|size)"
    r"|context (?:length|window|size) (?:is |has been )?(?:exceeded|full)"
    # llama.cpp, Ollama, LM Studio, TGI, OpenAI, Anthropic, DeepSeek, Moonshot, Gemini, Cohere
    r"|available context size|exceed_context_size|context_length_exceeded|input length and"
    r"|prompt (?:is )?too long|inputs? tokens? exceeds?"
    r"|tokens? exceeds? (?:the )?(?:max|limit|context)|exceeds the maximum number of tokens"
    r"|context length of only|greater than the context length|exceeded (?:max )?context length"
    r"|must have less than \d+ tokens|exceeded model token limit"
    r"|too many tokens in (?:the |your )?prompt|number of tokens in the prompt cannot exceed"
    r"|`?inputs`? tokens \+ `?max_new_tokens`? must be|exceeds the context limit"
    r"|reduce the length of the (?:messages|input|prompt)|configured context size is"
    # Zhipu, MiniMax, Moonshot, and others in Chinese
    r"|prompt exceeds max length|context window exceeds limit|total message size \d+ exceeds"
    r"|context_window_exceeded|token limit exceeded, please shorten"
    r"|(?:prompt|输入|上下文)[^，。]{0,8}(?:超长|过长|超限|超过|超出)"
)
"""How servers say that an input is too long, whatever their status and code.

Compiled when the first error comes: it would be a tenth of the import.
"""

_SEARCHED_CHARACTERS = 5_000
"""At either end of a message; some servers repeat the whole input between."""
_MAY_BE_TOO_LONG = (InvalidRequestError, ServerError, ProtocolError)

_WRONG_ENDPOINT = "url error"
_NOT_FETCHED = (
    "The service could not fetch the file: its address must be public, and be answered with "
    "Content-Length and Content-Type. Or send the file itself."
)
_TOO_LARGE = "Make the file smaller, or upload it and give its address."
# The vendor's page on error codes, and its page on images.
_TEXT_HINTS: tuple[tuple[str, str], ...] = (
    (
        _WRONG_ENDPOINT,
        "This model is served at the other endpoint: set model_info with endpoint="
        "'text-generation' or 'multimodal-generation'.",
    ),
    ("download multimodal", _NOT_FETCHED),
    ("download the media resource", _NOT_FETCHED),
    ("bytes per data-uri item", _TOO_LARGE),
    ("multimodal file size is too large", _TOO_LARGE),
    ("data-uri per request", "Send fewer files along, or give their addresses."),
)

NEITHER_ENDPOINT = (
    "The service says so at both of its endpoints: check the model's id and base_url, and whether "
    "the model takes messages."
)
_WRONG_PATH = (
    "Check base_url: the server is there and knows no such address. The native protocol is below "
    "/api/v1."
)
_SUCCESS_KEYS = frozenset({"output", "usage", "request_id"})
_SUCCESS_CODES = ("", "200", "success", "ok")
_MESSAGE_NAMES = ("message", "detail", "error", "msg")
_LONE_SURROGATE = r"(?i)(\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})|\\ud[89a-f][0-9a-f]{2}"


def reports_error(data: Mapping[str, object]) -> bool:
    """Whether a body that came with a good status is an error all the same.

    A success carries no code, an empty one, or one that says success; whatever has another is an
    error, text or no text.
    """
    if data.keys() <= _SUCCESS_KEYS:
        return False
    code = text_or_empty(_field(data, "code"))
    if code.lower() not in _SUCCESS_CODES or data.get("error"):
        return True
    return any((_status_in(data.get(name)) or 0) >= 400 for name in ("status_code", "code"))


def error_in_body(
    data: Mapping[str, object], *, status_code: int | None, model: str | None = None
) -> DashScopeError:
    """Return the error that a body reports, in the native or the OpenAI-compatible form.

    Args:
        data: the body.
        status_code: the HTTP status; ``None``: the one that the body states, if any.
        model: the model asked.
    """
    inner = data.get("error")
    body = inner if isinstance(inner, dict) else data
    if status_code is None:
        status_code = _status_in(data.get("status_code")) or _status_in(data.get("code"))
    return service_error(
        status_code=status_code,
        code=text_or_empty(_field(body, "code")),
        message=_message_in(body) or text_or_empty(inner),
        request_id=text_or_empty(data.get("request_id"))
        or text_or_empty(_field(data, "requestid"))
        or None,
        model=model,
    )


def is_wrong_endpoint(error: DashScopeError) -> bool:
    """Whether the service says that the model is served at its other endpoint."""
    return isinstance(error, InvalidRequestError) and _WRONG_ENDPOINT in error.message.lower()


def error_in_event(event: Event, model: str) -> DashScopeError:
    """Return the error that an event of a stream reports; its ``response`` is the event's data."""
    data = read_error_body(event.data)[0] if event.data else None
    if data is None:
        data = {"message": f"{NO_REASON}: {quoted(event.data)}" if event.data else NO_REASON}
    status = event.status if event.failed else None
    error = error_in_body(data, status_code=status, model=model)
    error.response = httpx2.Response(event.status or 200, content=event.data)
    return error


def read_error_body(body: bytes) -> tuple[dict[str, object] | None, int | None]:
    """Return the JSON of an error's body, bare or in an event, and the status of that event.

    JSON that was cut off is read as far as it came; ``None`` stands for what is no JSON.
    """
    decoder = Decoder()
    events = () if body[:1] == b"{" else (*decoder.feed(body), *decoder.flush())
    for data, status in ((body, None), *((event.data, event.status) for event in events)):
        try:
            # The code is ASCII, however the words beside it are written.
            text = re.sub(_LONE_SURROGATE, _kept_pair, data.decode("utf-8", "replace"))
            return read_json_object(text.encode()), status
        except ProtocolError:
            continue
    return _partial_object(body), None


def service_error(
    *,
    status_code: int | None,
    code: str | None = None,
    message: str | None = None,
    request_id: str | None = None,
    retry_after: float | None = None,
    partial_text: str | None = None,
    model: str | None = None,
) -> DashScopeError:
    """Return the error for what the service answered: by code, then by status and words."""
    text = message or NO_REASON
    words = _ends_of(text)
    error = _class_of(status_code, code, words)(
        text,
        status_code=status_code,
        code=code or None,
        request_id=request_id,
        retry_after=retry_after,
        partial_text=partial_text,
        model=model,
        hint=next((hint for part, hint in _TEXT_HINTS if part in words.lower()), ""),
    )
    if status_code == 404 and type(error) is InvalidRequestError:
        error.advice = _WRONG_PATH
    if error.retryable and _class_of_code(code) is None and status_code not in _CURABLE:
        error.retryable = False
    return error


def _ends_of(text: str) -> str:
    """Return what is searched of a message, lest one of megabytes hold its call."""
    if len(text) <= 2 * _SEARCHED_CHARACTERS:
        return text
    return f"{text[:_SEARCHED_CHARACTERS]} {text[-_SEARCHED_CHARACTERS:]}"


def _class_of(status: int | None, code: str | None, text: str) -> type[DashScopeError]:
    error_class = _class_of_code(code) or _class_of_status(status)
    if issubclass(error_class, _MAY_BE_TOO_LONG) and _says_too_long(f"{code} {text}"):
        return ContextLengthError
    if error_class is ModelNotFoundError and not (_class_of_code(code) or _names_model(text)):
        return InvalidRequestError
    for general, part, special in _BY_TEXT:
        if issubclass(error_class, general) and part in text.lower():
            return special
    return error_class


def _says_too_long(text: str) -> bool:
    return re.search(_INPUT_TOO_LONG, text, re.IGNORECASE) is not None


def _names_model(text: str) -> bool:
    return "model" in text.lower() or "模型" in text


def _class_of_code(code: str | None) -> type[DashScopeError] | None:
    name = (code or "").lower()
    while name:
        if name in _BY_CODE:
            return _BY_CODE[name]
        name = name.rpartition(".")[0]
    return None


def _class_of_status(status: int | None) -> type[DashScopeError]:
    if status is None or 200 <= status < 400:
        return ProtocolError
    return _BY_STATUS.get(status) or (InvalidRequestError if status < 500 else ServerError)


def _kept_pair(surrogates: re.Match[str]) -> str:
    return surrogates[1] or r"\ufffd"


def _partial_object(body: bytes) -> dict[str, object] | None:
    """Return what there is of a JSON object that was cut."""
    try:
        data = from_json(body, allow_partial="trailing-strings")
    except ValueError:
        return None
    return data if isinstance(data, dict) and data else None


def _field(body: Mapping[str, object], name: str) -> object:
    """Return a field of an error; the vendor's API gateway begins the names with a capital."""
    return body.get(name) or next((body[key] for key in body if key.lower() == name), None)


def _message_in(body: Mapping[str, object]) -> str:
    """The words of an error: the vendor's ``message``, or what a proxy calls it."""
    for name in _MESSAGE_NAMES:
        if message := _field(body, name):
            return message if isinstance(message, str) else quoted(to_json(message))
    return ""


def _status_in(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 100 <= value <= 999 else None
