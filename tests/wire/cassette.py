"""Cassettes that a person can read: JSON files with parsed bodies and a line of provenance.

A body that is JSON stands as JSON, a stream as the list of its lines. Only headers with a meaning
in the protocol are kept, so no key, cookie or workspace can get in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import vcr
from vcr.request import Request

FOLDER = Path(__file__).parent / "cassettes"
HOST = "https://dashscope.aliyuncs.com"

_REQUEST_HEADERS = {"accept", "content-type", "x-dashscope-sse"}
_RESPONSE_HEADERS = {"content-type", "x-dashscope-oss-served-by"}


@contextmanager
def cassette(name: str, *, record: bool = False, provenance: str = "") -> Iterator[None]:
    """Play the cassette ``name``, each interaction exactly once; or make it anew.

    Args:
        name: the file's, without its ending.
        record: make it anew from real traffic.
        provenance: where that traffic is from.
    """
    path = FOLDER / f"{name}.json"
    if record:
        path.unlink(missing_ok=True)
    with recorder(record=record, provenance=provenance).use_cassette(str(path)) as tape:
        yield
    assert record or tape.all_played, f"{path.name} holds interactions that no call asked for"


def recorder(*, record: bool, provenance: str) -> vcr.VCR:
    """Return what plays and makes such files."""
    readable = vcr.VCR(
        record_mode="all" if record else "none",
        serializer="readable",
        match_on=["method", "path", "json", "sse"],
        before_record_request=_strip_request,
        before_record_response=_strip_response,
        decode_compressed_response=True,
    )
    readable.register_serializer("readable", ReadableSerializer(provenance))
    readable.register_matcher("json", _assert_same_json)
    readable.register_matcher("sse", _assert_same_mode)
    return readable


class ReadableSerializer:
    """Writes cassettes for vcrpy, and reads them."""

    def __init__(self, provenance: str) -> None:
        self.provenance = provenance

    def serialize(self, contents: dict[str, Any]) -> str:
        for interaction in contents["interactions"]:
            request, body = interaction["request"], interaction["response"]["body"]
            request["body"] = json.loads(request["body"])
            body["string"] = _readable(body["string"])
        readable = {"provenance": self.provenance, **contents}
        return json.dumps(readable, ensure_ascii=False, indent=1) + "\n"

    def deserialize(self, text: str) -> dict[str, Any]:
        contents = json.loads(text)
        for interaction in contents["interactions"]:
            request, body = interaction["request"], interaction["response"]["body"]
            request["body"] = json.dumps(request["body"], ensure_ascii=False)
            body["string"] = _as_sent(body["string"])
        return contents


def _readable(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text.split("\n")


def _as_sent(body: object) -> str:
    return "\n".join(body) if isinstance(body, list) else json.dumps(body, ensure_ascii=False)


def _strip_request(request: Request) -> Request:
    request.uri = HOST + request.path
    request.headers = {k: v for k, v in request.headers.items() if k.lower() in _REQUEST_HEADERS}
    return request


def _strip_response(response: dict[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in response["headers"].items() if k.lower() in _RESPONSE_HEADERS}
    return {**response, "headers": kept}


def _assert_same_json(request: Request, recorded: Request) -> None:
    assert json.loads(request.body) == json.loads(recorded.body)


def _assert_same_mode(request: Request, recorded: Request) -> None:
    assert request.headers.get("x-dashscope-sse") == recorded.headers.get("x-dashscope-sse")
