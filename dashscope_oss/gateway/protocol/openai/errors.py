"""Errors in OpenAI's form, with the codes that the service's own second door has for them.

``{"error": {"message", "type", "param", "code"}, "request_id"}``: so the service answers a wrong
key (401 ``invalid_api_key``), an unknown model (404 ``model_not_found``), a wrong parameter or a
too long input (400 ``invalid_parameter_error``), a text that its inspection refuses (400
``data_inspection_failed``), an unpaid bill (400 ``Arrearage``) and too many calls (429
``limit_requests``), as public bug reports show, QwenPaw's no. 6255, owl's no. 432 and
TradingAgents-CN's no. 170 among them. Codes of which no report is known stay the native ones.
Where the service puts ``data:`` before a refused stream's JSON, which OpenAI's clients cannot
read, this gateway sends mere JSON.
"""

from __future__ import annotations

from pydantic_core import to_json

from dashscope_oss.gateway.interface.api_error import APIError

_CODES = {
    "InvalidApiKey": "invalid_api_key",
    "InvalidParameter": "invalid_parameter_error",
    "ModelNotFound": "model_not_found",
    "DataInspectionFailed": "data_inspection_failed",
    "Throttling.RateQuota": "limit_requests",
    "Throttling.AllocationQuota": "insufficient_quota",
    "InternalError": "internal_error",
}
_MESSAGES = {"Invalid API-key provided.": "Incorrect API key provided."}
_OF_THEIR_OWN_TYPE = ("data_inspection_failed", "Arrearage")
"""Codes below 500 that the service repeats as the type of the error."""
_TOO_MANY_REQUESTS = 429


def model_not_found(model: str) -> APIError:
    """Return the error for a model that is not served."""
    return APIError(
        404,
        "ModelNotFound",
        f"The model `{model:.100}` does not exist or you do not have access to it. "
        "GET /compatible-mode/v1/models lists what this gateway serves.",
    )


def encode_error(error: APIError, request_id: str) -> bytes:
    """Return the body of an error."""
    code = _CODES.get(error.code, error.code)
    fields = {
        "message": _MESSAGES.get(error.message, error.message),
        "type": "invalid_request_error" if _is_invalid(error, code) else code,
        "param": None,
        "code": code,
    }
    return to_json({"error": fields, "request_id": request_id})


def _is_invalid(error: APIError, code: str) -> bool:
    """Return whether the service calls this error one of the request."""
    is_callers_fault = error.status < 500 and error.status != _TOO_MANY_REQUESTS
    return is_callers_fault and code not in _OF_THEIR_OWN_TYPE


def encode_error_event(error: APIError, request_id: str) -> bytes:
    """Return the event that ends a stream with an error."""
    return b"data: %b\n\n" % encode_error(error, request_id)
