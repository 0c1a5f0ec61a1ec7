"""``GET /compatible-mode/v1/models`` and ``/models/ID``: the models that a gateway serves."""

from __future__ import annotations

from dashscope_oss.gateway.interface.engine import Engine
from dashscope_oss.gateway.protocol.native.parse_request import served_model
from dashscope_oss.gateway.protocol.openai.errors import model_not_found
from dashscope_oss.registry.model_info import ModelInfo


def list_models(engine: Engine, created: int) -> dict[str, object]:
    """Return the models that ``engine`` serves.

    Args:
        engine: what serves them.
        created: since when, in seconds of Unix time.
    """
    models = [_describe(engine, model_info, created) for model_info in engine.models()]
    return {"object": "list", "data": models}


def describe_model(engine: Engine, id: str, created: int) -> dict[str, object]:
    """Return what is known of one model; the arguments are as above.

    Raises:
        APIError: 404, if it is not served.
    """
    model_info = served_model(id, engine.find_model)
    if model_info is None:
        raise model_not_found(id)
    return _describe(engine, model_info, created)


def _describe(engine: Engine, model_info: ModelInfo, created: int) -> dict[str, object]:
    return {
        "id": model_info.id,
        "object": "model",
        "created": created,
        "owned_by": model_info.maker,
        "served_by": engine.weights_name(model_info),
    }
