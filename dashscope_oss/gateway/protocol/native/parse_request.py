"""Reads a request's body: the result is an :class:`EngineRequest`, or the service's own error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from pydantic_core import from_json

from dashscope_oss.errors import ContextLengthError
from dashscope_oss.gateway.interface.api_error import APIError, InvalidParameter, UnreadableBody
from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.gateway.protocol.native.parameters import check_parameters
from dashscope_oss.gateway.protocol.native.parse_input import parse_input, wrong_length
from dashscope_oss.registry.model_info import ModelInfo, ServiceEndpoint
from dashscope_oss.tokens.input_length import check_least_length

_NOT_SERVED = "Model can not be found. GET /api/v1/models lists what this gateway serves."
# A gateway may serve every id; ids then appear in logs and metrics.
_MAX_MODEL_ID = 256


def parse_request(
    body: bytes,
    *,
    endpoint: ServiceEndpoint,
    stream: bool,
    request_id: str,
    find_model: Callable[[str], ModelInfo | None],
) -> EngineRequest:
    """Return the request that ``body`` holds.

    Args:
        body: JSON, as it arrived.
        endpoint: where it arrived.
        stream: whether the caller wants events.
        request_id: identifies the call.
        find_model: returns how a model is served, ``None`` if it is not.

    Raises:
        APIError: for whatever the service refuses.
    """
    data = parse_object(body)
    model_info = served_model(requested_model(data), find_model)
    if model_info is None:
        raise APIError(404, "ModelNotFound", _NOT_SERVED)
    if model_info.status == "unknown":
        model_info = replace(model_info, endpoint=endpoint)  # nobody knows which one takes it
    if model_info.endpoint != endpoint:
        raise InvalidParameter("url error, please check url！")
    parameters = _read_object(data.get("parameters"), "parameters")
    messages, prompt = parse_input(model_info, _read_object(data.get("input"), "input"))
    request = EngineRequest(
        model_info=model_info,
        messages=messages,
        prompt=prompt,
        parameters={name: value for name, value in parameters.items() if value is not None},
        stream=stream,
        request_id=request_id,
    )
    check_parameters(request)
    check_input_length(request)
    return request


def parse_object(body: bytes) -> dict[str, object]:
    """Return the object that a body holds.

    Raises:
        UnreadableBody: if it is no JSON, or no object.
    """
    try:
        value: object = from_json(body, allow_inf_nan=False)
    except ValueError:
        raise UnreadableBody from None
    if not isinstance(value, dict):
        raise UnreadableBody
    return value


def requested_model(data: Mapping[str, object]) -> str:
    """Return the id of the model that a body asks for.

    Raises:
        APIError: if it names none.
    """
    model = data.get("model")
    if not isinstance(model, str) or not model:
        raise APIError(
            400, "BadRequest.EmptyModel", 'Required parameter "model" missing from request.'
        )
    return model


def served_model(id: str, find_model: Callable[[str], ModelInfo | None]) -> ModelInfo | None:
    """Return how a model is served; ``None`` if it is not, or if no model has so long an id."""
    return find_model(id) if len(id) <= _MAX_MODEL_ID else None


def _read_object(value: object, name: str) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidParameter(
            f"Required parameter({name}) missing or invalid, please check the request parameters."
        )
    return value


def check_input_length(request: EngineRequest) -> None:
    """Check that the input is not surely too long.

    Raises:
        InvalidParameter: if it is.
    """
    if request.model_info.doubt(request.model_info.input_limit_field):
        return  # the engine knows its window
    try:
        check_least_length(request.model_info, request.texts)
    except ContextLengthError:
        raise wrong_length(request.model_info) from None
