"""``GET /api/v1/models``: what a gateway serves, page by page. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dashscope_oss.gateway.job import Engine
from dashscope_oss.gateway.refusals import Refusal
from dashscope_oss.record import ModelInfo

_PAGE = re.compile(r"[1-9]\d{0,8}", re.ASCII)


def models_page(engine: Engine, query: Mapping[str, str]) -> dict[str, object]:
    """Return the page of models that ``query`` asks for.

    Raises:
        Refusal: if the page's number or size is none.
    """
    wanted = query.get("model")
    served = [record for record in engine.models() if wanted in (None, record.id)]
    number, size = _page(query)
    shown = served[(number - 1) * size : number * size]
    return {
        "page_no": number,
        "page_size": size,
        "total_count": len(served),
        "models": [_model(engine, record) for record in shown],
    }


def _model(engine: Engine, record: ModelInfo) -> dict[str, object]:
    return {
        "model": record.id,
        "provider": record.maker,
        "opensource": True,
        "served_by": engine.weights_of(record),
    }


def _page(query: Mapping[str, str]) -> tuple[int, int]:
    number, size = query.get("page_no", "1"), query.get("page_size", "10")
    if not (_PAGE.fullmatch(number) and _PAGE.fullmatch(size)):
        raise Refusal(
            400,
            "InvalidParameter",
            "Required parameter(page_no, page_size) missing or invalid, please check the request "
            "parameters.",
        )
    return int(number), int(size)
