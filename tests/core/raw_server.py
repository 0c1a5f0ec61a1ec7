"""A server that sends given bytes when it is told to: for cuts, stalls and wrong answers."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

WAIT = 5.0
"""Most seconds that a test waits for something that must happen."""


class Cut:
    """A step: drop the connection, so that the client sees a reset."""


class Close:
    """A step: close the connection in an orderly way."""


class UntilGone:
    """A step: wait until the client has closed the connection."""


Step = bytes | threading.Event | Cut | Close | UntilGone


@dataclass
class Received:
    """One request as it came; names of headers in lower case."""

    line: str
    headers: dict[str, str]
    body: dict[str, object] = field(default_factory=dict)


class RawServer:
    """Serves one list of steps a request, in order; the last list repeats.

    A step is bytes to send, an event to wait for, or one of the classes above. ``asked`` is set
    once a request has come, ``gone`` once a client has closed its connection; ``connections``
    counts those that were opened.
    """

    def __init__(self, *answers: bytes | Iterable[Step]) -> None:
        self._answers = [[a] if isinstance(a, bytes) else list(a) for a in answers]
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.requests: list[Received] = []
        self.connections = 0
        self.asked = threading.Event()
        self.gone = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.base_url = f"{self.origin}/api/v1"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(WAIT)

    def _start(self, target, *args) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(2 * WAIT)
            self.connections += 1
            self._open.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as incoming, suppress(OSError):
            while request := _read(incoming):
                with self._lock:
                    answer = self._answers[min(len(self.requests), len(self._answers) - 1)]
                    self.requests.append(request)
                self.asked.set()
                try:
                    if not self._answer(connection, incoming, answer):
                        return
                except ConnectionError:
                    break  # the client was gone before all was sent
            self.gone.set()

    def _answer(self, connection: socket.socket, incoming, steps: Iterable[Step]) -> bool:
        for step in steps:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif isinstance(step, threading.Event):
                step.wait(WAIT)
            elif isinstance(step, UntilGone):
                self._wait_for_end(incoming)
                return False
            else:
                if isinstance(step, Cut):
                    reset = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                return False
        return True

    def _wait_for_end(self, incoming) -> None:
        try:
            ended = not incoming.read(1)
        except ConnectionError:
            ended = True
        if ended:
            self.gone.set()


def _read(incoming) -> Received | None:
    line = incoming.readline().decode().strip()
    if not line:
        return None
    headers = {}
    while head := incoming.readline().decode("latin-1").strip():
        name, _, value = head.partition(":")
        headers[name.lower()] = value.strip()
    body = incoming.read(int(headers.get("content-length", 0)))
    return Received(line, headers, json.loads(body) if body else {})


def answer(
    body: object,
    status: str = "200 OK",
    kind: str = "application/json",
    headers: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Return a whole HTTP answer; a body that is no bytes becomes JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(data)}"]
    head += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + data


SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=UTF-8\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
SSE_END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return ``data`` as one chunk of a chunked body."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def frame(text: str, finish_reason: str | None = "null", usage: object = None) -> bytes:
    """Return one event of a text stream in the service's own framing."""
    output = {"text": text}
    if finish_reason is not None:
        output["finish_reason"] = finish_reason
    data = {"output": output, "request_id": "r-1"}
    if usage is not None:
        data["usage"] = usage
    written = json.dumps(data, ensure_ascii=False).encode()
    return b"id:1\nevent:result\n:HTTP_STATUS/200\ndata:" + written + b"\n\n"


def error_frame(status: int, code: str, message: str) -> bytes:
    """Return an error as the service sends it inside a stream."""
    written = json.dumps({"code": code, "message": message, "request_id": "r-1"}).encode()
    return f"id:1\nevent:error\n:HTTP_STATUS/{status}\ndata:".encode() + written + b"\n\n"


def stream(*frames: bytes) -> list[Step]:
    """Return the steps that send ``frames`` as one whole stream."""
    return [SSE_HEAD, *(chunk(frame) for frame in frames), SSE_END]


def text_reply(text: str, **usage: int) -> dict[str, object]:
    """Return a reply in the text shape."""
    found: dict[str, object] = {"output": {"text": text}, "request_id": "r-1"}
    return {**found, "usage": usage} if usage else found
