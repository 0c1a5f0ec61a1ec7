"""Which error an answer of the service is: the one table, by code, then by status and words."""

from __future__ import annotations

from dashscope_oss.errors import (
    NO_REASON,
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
    (InvalidRequestError, "range of input length should be", ContextLengthError),
    (InvalidRequestError, "model not exist", ModelNotFoundError),
    (InvalidRequestError, "model not found", ModelNotFoundError),
    (RateLimitError, "free allocated quota", QuotaExhaustedError),
    (RateLimitError, "free quota", QuotaExhaustedError),
    (RateLimitError, "free tier", QuotaExhaustedError),
    (ServerError, "list index out of range", InvalidRequestError),
    (ServerError, "role must be in [", InvalidRequestError),
    (ServerError, "expecting ',' delimiter", InvalidRequestError),
)

_TEXT_HINTS: tuple[tuple[str, str], ...] = (
    (
        "url error",
        "This model is served at the other endpoint: set model_info with endpoint="
        "'text-generation' or 'multimodal-generation'.",
    ),
)


def from_response(
    *,
    status_code: int | None,
    code: str | None = None,
    message: str | None = None,
    request_id: str | None = None,
    retry_after: float | None = None,
    partial_text: str | None = None,
    model: str | None = None,
) -> DashScopeError:
    """Return the error for what the service answered: by code, then by status."""
    text = message or NO_REASON
    error = _class_of(status_code, code, text)(
        text,
        status_code=status_code,
        code=code or None,
        request_id=request_id,
        retry_after=retry_after,
        partial_text=partial_text,
        model=model,
        hint=next((hint for part, hint in _TEXT_HINTS if part in text.lower()), ""),
    )
    if error.retryable and _class_of_code(code) is None and status_code not in _CURABLE:
        error.retryable = False
    return error


def _class_of(status: int | None, code: str | None, text: str) -> type[DashScopeError]:
    found = _class_of_code(code) or _class_of_status(status)
    for general, part, special in _BY_TEXT:
        if issubclass(found, general) and part in text.lower():
            return special
    return found


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
