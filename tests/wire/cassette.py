"""Cassettes that a person can read: JSON files with parsed bodies and a line of provenance.

A body that is JSON stands as JSON, a stream as the list of its lines. Only headers that the
protocol gives a meaning are kept, so no key, cookie or workspace can get in.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path

import vcr

FOLDER = Path(__file__).parent / "cassettes"
HOST = "https://dashscope.aliyuncs.com"

_REQUEST_HEADERS = {"accept", "content-type", "x-dashscope-sse"}
_RESPONSE_HEADERS = {"content-type", "x-dashscope-oss-served-by"}


@contextmanager
def cassette(name, *, model_info, provenance):
    """Play the cassette ``name``, each interaction once; or make it anew if ``record``."""
    path = FOLDER / f"{name}.json"
    if model_info:
        path.unlink(missing_ok=True)
    recorder = vcr.VCR(
        record_mode="all" if model_info else "none",
        match_on=["method", "path", "json", "sse"],
        before_record_request=_clean_request,
        before_record_response=_clean_response,
        decode_compressed_response=True,
    )
    recorder.register_serializer("readable", Readable(provenance))
    recorder.register_matcher("json", _same_json)
    recorder.register_matcher("sse", _same_mode)
    with recorder.use_cassette(str(path), serializer="readable") as tape:
        yield
    assert model_info or tape.all_played, f"{path.name} holds interactions that no call asked for"


class Readable:
    """vcrpy's serializer for such files."""

    def __init__(self, provenance):
        self.provenance = provenance

    def serialize(self, found):
        for interaction in found["interactions"]:
            request, body = interaction["request"], interaction["response"]["body"]
            request["body"] = json.loads(request["body"])
            body["string"] = _readable(body["string"])
        return (
            json.dumps({"provenance": self.provenance, **found}, ensure_ascii=False, indent=1)
            + "\n"
        )

    def deserialize(self, text):
        found = json.loads(text)
        for interaction in found["interactions"]:
            request, body = interaction["request"], interaction["response"]["body"]
            request["body"] = json.dumps(request["body"], ensure_ascii=False)
            body["string"] = _written(body["string"])
        return found


def _readable(text):
    try:
        return json.loads(text)
    except ValueError:
        return text.split("\n")


def _written(body):
    return "\n".join(body) if isinstance(body, list) else json.dumps(body, ensure_ascii=False)


def _clean_request(request):
    request.uri = HOST + request.path
    request.headers = {k: v for k, v in request.headers.items() if k.lower() in _REQUEST_HEADERS}
    return request


def _clean_response(response):
    kept = {k: v for k, v in response["headers"].items() if k.lower() in _RESPONSE_HEADERS}
    return {**response, "headers": kept}


def _same_json(one, other):
    assert json.loads(one.body) == json.loads(other.body)


def _same_mode(one, other):
    assert one.headers.get("x-dashscope-sse") == other.headers.get("x-dashscope-sse")
