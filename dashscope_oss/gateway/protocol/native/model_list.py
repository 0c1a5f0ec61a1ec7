"""``GET /api/v1/models``: the models that a gateway serves, page by page. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dashscope_oss.gateway.interface.api_error import InvalidParameter
from dashscope_oss.gateway.interface.engine import Engine
from dashscope_oss.registry.model_info import ModelInfo

_POSITIVE_INTEGER = re.compile(r"[1-9]\d{0,8}", re.ASCII)


def list_models(engine: Engine, query: Mapping[str, str]) -> dict[str, object]:
    """Return one page of the models that ``engine`` serves.

    Args:
        engine: what serves them.
        query: of the URL: ``page_no``, ``page_size`` and ``model``, all optional.

    Raises:
        InvalidParameter: if the page's number or size is not a positive integer.
    """
    id = query.get("model")
    served = [model_info for model_info in engine.models() if id in (None, model_info.id)]
    number, size = _page(query)
    shown = served[(number - 1) * size : number * size]
    return {
        "page_no": number,
        "page_size": size,
        "total_count": len(served),
        "models": [_describe(engine, model_info) for model_info in shown],
    }


def _describe(engine: Engine, model_info: ModelInfo) -> dict[str, object]:
    return {
        "model": model_info.id,
        "provider": model_info.maker,
        "opensource": True,
        "served_by": engine.weights_name(model_info),
    }


def _page(query: Mapping[str, str]) -> tuple[int, int]:
    number, size = query.get("page_no", "1"), query.get("page_size", "10")
    if not (_POSITIVE_INTEGER.fullmatch(number) and _POSITIVE_INTEGER.fullmatch(size)):
        raise InvalidParameter(
            "Required parameter(page_no, page_size) missing or invalid, please check the request "
            "parameters."
        )
    return int(number), int(size)
