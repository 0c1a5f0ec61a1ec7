"""An OpenAI-compatible server that reads what is written in pictures.

It stands for a server with a model that sees: such models are too large for an example. It looks
at the pictures with PP-OCRv6, a small neural network that reads text (`faster-paddle`), and
answers with the lines that share most words with the question. It does not know what else is in
a picture, and it fetches none.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from faster_paddle import OcrEngine

NOTHING = "There is no picture with text."
_PICTURE = "image_url"


class PictureReader(ThreadingHTTPServer):
    """The server; ``bodies`` are those of the requests that it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """Its base URL, as clients of OpenAI want it."""
        return f"http://127.0.0.1:{self.server_port}/v1"


@contextmanager
def serve_in_thread() -> Iterator[PictureReader]:
    """Run a server beside the program until the block ends."""
    with PictureReader() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def answer(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the lines in the pictures that have most to do with the question, else all."""
    parts = [part for message in messages for part in _parts(message["content"])]
    pictures = [part[_PICTURE]["url"] for part in parts if part["type"] == _PICTURE]
    lines = [line for url in pictures for line in read_lines(url)]
    asked = _words(_question("\n".join(part["text"] for part in parts if "text" in part)))
    shared = [len(asked & _words(line)) for line in lines]
    most = max(shared, default=0)
    return "\n".join(line for line, n in zip(lines, shared, strict=True) if n == most) or NOTHING


@lru_cache(maxsize=32)
def read_lines(url: str) -> tuple[str, ...]:
    """Return the lines of text in the picture of a ``data:`` URL, from top to bottom.

    Raises:
        ValueError: for any other address.
    """
    head, comma, data = url.partition(",")
    if not (head.startswith("data:") and comma):
        raise ValueError("this server fetches nothing: send the picture itself")
    read = _engine().ocr(base64.b64decode(data))["bounds"].values()
    lines: list[list[dict[str, Any]]] = []
    for words in sorted(read, key=_middle):
        if lines and _middle(words) < lines[-1][0]["bottomRightCoord"][1]:
            lines[-1].append(words)
        else:
            lines.append([words])
    return tuple("  ".join(w["text"] for w in sorted(line, key=_left)) for line in lines)


def _middle(words: Mapping[str, Any]) -> float:
    return float(words["topLeftCoord"][1] + words["bottomRightCoord"][1]) / 2


def _left(words: Mapping[str, Any]) -> float:
    return float(words["topLeftCoord"][0])


@lru_cache(maxsize=1)
def _engine() -> OcrEngine:
    return OcrEngine(model_size="small", threads=1)


def _parts(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _question(text: str) -> str:
    """Return the last question in a text; without any, the whole text."""
    return next(reversed(re.findall(r"[^\n.。!！?？]*[?？]", text)), text)


def _words(text: str) -> set[str]:
    """Return the words of a text; of Chinese, each two characters that stand together."""
    chinese = re.findall(r"(?=([\u4e00-\u9fff]{2}))", text)
    return {*re.findall(r"[a-z0-9:]{3,}", text.lower()), *chinese}


class _Handler(BaseHTTPRequestHandler):
    server: PictureReader

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.bodies.append(body)
        try:
            lines = answer(body["messages"]).splitlines(keepends=True)
        except ValueError as error:
            self._send(400, "application/json", {"error": {"message": str(error)}})
            return
        deltas = [{"index": 0, "delta": {"content": line}} for line in lines]
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        self._send(200, "text/event-stream", *({"choices": [d]} for d in (*deltas, last)))

    def _send(self, status: int, media_type: str, *values: object) -> None:
        texts = [json.dumps(value) for value in values]
        if status == 200:
            texts = [f"data: {text}\n\n" for text in (*texts, "[DONE]")]
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.end_headers()
        self.wfile.write("".join(texts).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""
