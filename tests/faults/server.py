"""The fault server: it sends the bytes that a test gives it, and breaks off, stalls or drips.

An answer is bytes, or a list of steps. Heads, bodies and frames are written by the functions at the
end of the file, so that a test shows what is wrong and nothing else.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

WAIT = 5.0
"""Most seconds that a test waits for something that must happen."""
ECHO_WAIT = 30.0
"""The same for an answer of :class:`Echo` that waits for other calls."""


class Cut:
    """A step: drop the connection, so that the client sees a reset."""


class Close:
    """A step: close the connection in an orderly way."""


class UntilGone:
    """A step: wait until the client has closed the connection."""


@dataclass(frozen=True)
class Drip:
    """A step: send ``data`` in pieces of ``size`` bytes with ``pause`` seconds between them."""

    data: bytes
    pause: float = 0.0
    size: int = 1


@dataclass(frozen=True)
class Endless:
    """A step: send ``data`` again and again until the client has gone."""

    data: bytes
    pause: float = 0.0


Step = bytes | threading.Event | Cut | Close | UntilGone | Drip | Endless


class Unread(list[Step]):
    """An answer whose steps begin when a connection is made, without a request, and end it."""


@dataclass
class Received:
    """One request as it came; names of headers in lower case."""

    line: str
    headers: dict[str, str]
    body: dict[str, object] = field(default_factory=dict)


class RawServer:
    """Serves one list of steps a request, in order; the last list repeats.

    ``asked`` is set once a request has come, ``gone`` once a client has closed its connection,
    ``ended`` once the server has; ``connections`` counts those that were opened. ``requests`` has
    an entry without a line for each :class:`Unread` answer.
    """

    def __init__(self, *answers: bytes | Iterable[Step]) -> None:
        self._answers = [a if isinstance(a, Unread) else _steps(a) for a in answers]
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()
        self.requests: list[Received] = []
        self.connections = 0
        self.asked = threading.Event()
        self.gone = threading.Event()
        self.ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.base_url = f"{self.origin}/api/v1"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(WAIT)
            assert not thread.is_alive(), "the fault server did not end"

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
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as incoming, suppress(OSError):
            self._converse(connection, incoming)
        self.ended.set()

    def _converse(self, connection: socket.socket, incoming) -> None:
        while (answer := self._next(incoming)) is not None:
            self.asked.set()
            try:
                goes_on = self._answer(connection, incoming, answer)
                if not goes_on or isinstance(answer, Unread):
                    return
            except ConnectionError:
                break  # the client was gone before all was sent
        self.gone.set()

    def _next(self, incoming) -> list[Step] | None:
        with self._lock:
            ahead = self._turn()
            if isinstance(ahead, Unread):
                self.requests.append(Received("", {}))
                return ahead
        request = _read(incoming)
        if request is None:
            return None
        with self._lock:
            answer = self._turn()
            self.requests.append(request)
        return answer

    def _turn(self) -> list[Step]:
        return self._answers[min(len(self.requests), len(self._answers) - 1)]

    def _answer(self, connection: socket.socket, incoming, steps: Iterable[Step]) -> bool:
        for step in steps:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif isinstance(step, Drip | Endless):
                self._trickle(connection, step)
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

    def _trickle(self, connection: socket.socket, step: Drip | Endless) -> None:
        for piece in _pieces(step):
            connection.sendall(piece)
            if self._closing.wait(step.pause) if step.pause else self._closing.is_set():
                return

    def _wait_for_end(self, incoming) -> None:
        try:
            ended = not incoming.read(1)
        except ConnectionError:
            ended = True
        if ended:
            self.gone.set()


class Echo(RawServer):
    """Answers each question with itself, streamed if a stream is asked for.

    Args:
        together: how many questions must have come before the first is answered.
        until: what each answer waits for.
    """

    def __init__(self, together: int = 1, until: threading.Event | None = None) -> None:
        super().__init__(b"")
        self._listener.listen(1024)
        self._all = threading.Barrier(together)
        self._until = until

    def _next(self, incoming):
        request = _read(incoming)
        if request is None:
            return None
        self.requests.append(request)
        self.asked.set()
        self._all.wait(ECHO_WAIT)
        if self._until is not None:
            self._until.wait(ECHO_WAIT)
        text = request.body["input"]["messages"][-1]["content"]
        if "x-dashscope-sse" in request.headers:
            return stream(frame(text[:2]), frame(text[2:]), frame("", "stop"))
        return [answer(text_reply(text))]


def _steps(answer: bytes | Iterable[Step]) -> list[Step]:
    return [answer] if isinstance(answer, bytes) else list(answer)


def _pieces(step: Drip | Endless) -> Iterable[bytes]:
    if isinstance(step, Drip):
        data, size = step.data, step.size
        yield from (data[at : at + size] for at in range(0, len(data), size))
        return
    while True:
        yield step.data


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


# Whole answers


def as_bytes(body: object) -> bytes:
    """Return a body: bytes as they are, all else as JSON."""
    return body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()


def head(
    status: str = "200 OK",
    kind: str | None = "application/json",
    headers: Iterable[tuple[str, str]] = (),
    *,
    length: int | None = None,
    version: str = "1.1",
) -> bytes:
    """Return the head of an answer; what is ``None`` is left out of it."""
    lines = [f"HTTP/{version} {status}"]
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    if length is not None:
        lines.append(f"Content-Length: {length}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def answer(
    body: object,
    status: str = "200 OK",
    kind: str | None = "application/json",
    headers: Iterable[tuple[str, str]] = (),
    *,
    length: int | None = None,
) -> bytes:
    """Return a whole HTTP answer; a body that is no bytes becomes JSON.

    ``length`` is the length to claim, the true one if ``None``.
    """
    data = as_bytes(body)
    return head(status, kind, headers, length=len(data) if length is None else length) + data


def refusal(
    status: str, code: str, message: str = "no", headers: Iterable[tuple[str, str]] = ()
) -> bytes:
    """Return an error as the service words it."""
    return answer({"code": code, "message": message, "request_id": "r-1"}, status, headers=headers)


def gzipped(body: object, **more) -> bytes:
    """Return an answer compressed with gzip."""
    return answer(gzip.compress(as_bytes(body)), headers=[("Content-Encoding", "gzip")], **more)


def deflated(body: object, **more) -> bytes:
    """Return an answer compressed with zlib."""
    coded = [("Content-Encoding", "deflate")]
    return answer(zlib.compress(as_bytes(body)), headers=coded, **more)


def chunked_head(
    status: str = "200 OK",
    kind: str | None = "application/json",
    headers: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Return the head of an answer that comes in chunks."""
    return head(status, kind, [("Transfer-Encoding", "chunked"), *headers])


def chunk(data: bytes) -> bytes:
    """Return ``data`` as one chunk of a chunked body."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


# Streams

SSE = "text/event-stream;charset=UTF-8"
SSE_HEAD = chunked_head(kind=SSE)
SSE_END = b"0\r\n\r\n"


def sse(data: bytes, kind: str = "result", status: int = 200) -> bytes:
    """Return one event in the service's own framing: no space after a colon."""
    return f"id:1\nevent:{kind}\n:HTTP_STATUS/{status}\ndata:".encode() + data + b"\n\n"


def frame(text: str, finish_reason: str | None = "null", usage: object = None) -> bytes:
    """Return one event of a text stream in the service's own framing."""
    return sse(as_bytes(text_reply(text, finish_reason, usage=usage)))


def message_frame(text: str | None, finish_reason: str | None = "null", **message: object) -> bytes:
    """Return one event of a stream of messages."""
    return sse(as_bytes(message_reply(text, finish_reason, **message)))


def error_frame(status: int, code: str, message: str) -> bytes:
    """Return an error as the service sends it inside a stream."""
    data = {"code": code, "message": message, "request_id": "r-1"}
    return sse(as_bytes(data), "error", status)


def stream(*frames: bytes) -> list[Step]:
    """Return the steps that send ``frames`` as one whole stream, a chunk each."""
    return [SSE_HEAD, *(chunk(frame) for frame in frames), SSE_END]


# Bodies


def text_reply(
    text: str, finish_reason: str | None = None, usage: object = None, **counts: int
) -> dict[str, object]:
    """Return a reply in the text shape."""
    output = {"text": text}
    if finish_reason is not None:
        output["finish_reason"] = finish_reason
    return _with_usage({"output": output, "request_id": "r-1"}, counts or usage)


def message_reply(
    text: object, finish_reason: str | None = "stop", usage: object = None, **message: object
) -> dict[str, object]:
    """Return a reply in the message shape."""
    choice: dict[str, object] = {"message": {"role": "assistant", "content": text, **message}}
    if finish_reason is not None:
        choice["finish_reason"] = finish_reason
    return _with_usage({"output": {"choices": [choice]}, "request_id": "r-1"}, usage)


def _with_usage(reply: dict[str, object], usage: object) -> dict[str, object]:
    return reply if usage is None else {**reply, "usage": usage}
