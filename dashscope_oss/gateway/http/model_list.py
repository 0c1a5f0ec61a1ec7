"""``GET /api/v1/models``: what a gateway serves, page by page. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dashscope_oss.gateway.api_error import APIError
from dashscope_oss.gateway.engines.engine import Engine
from dashscope_oss.registry.model_info import ModelInfo

_PAGE = re.compile(r"[1-9]\d{0,8}", re.ASCII)


def models_page(engine: Engine, query: Mapping[str, str]) -> dict[str, object]:
    """Return the page of models that ``query`` asks for.

    Raises:
        APIError: if the page's number or size is none.
    """
    wanted = query.get("model")
    served = [model_info for model_info in engine.models() if wanted in (None, model_info.id)]
    number, size = _page(query)
    shown = served[(number - 1) * size : number * size]
    return {
        "page_no": number,
        "page_size": size,
        "total_count": len(served),
        "models": [_model(engine, model_info) for model_info in shown],
    }


def _model(engine: Engine, model_info: ModelInfo) -> dict[str, object]:
    return {
        "model": model_info.id,
        "provider": model_info.maker,
        "opensource": True,
        "served_by": engine.weights_name(model_info),
    }


def _page(query: Mapping[str, str]) -> tuple[int, int]:
    number, size = query.get("page_no", "1"), query.get("page_size", "10")
    if not (_PAGE.fullmatch(number) and _PAGE.fullmatch(size)):
        raise APIError(
            400,
            "InvalidParameter",
            "Required parameter(page_no, page_size) missing or invalid, please check the request "
            "parameters.",
        )
    return int(number), int(size)
