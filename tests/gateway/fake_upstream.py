"""A stand-in for an OpenAI-compatible server on a real socket: it notes calls and says anything."""

import contextlib
import json
import socket
import threading


def chunk(reason=None, **delta):
    """One piece of a chat completion."""
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def said(text, reason="stop"):
    """The pieces of a short chat answer."""
    return (chunk(role="assistant", content=text), chunk(reason))


def events(*objects, done=True):
    """A whole answer of events."""
    lines = [b"data: " + json.dumps(found).encode() + b"\n\n" for found in objects]
    return b"".join(lines) + (b"data: [DONE]\n\n" if done else b"")


class Server:
    """Answers each POST with the next of its answers; the last repeats.

    Attributes:
        answers: (status, content type, body) each, and an event to wait for before the end.
        healthy: the status that a GET is answered with.
        models: what it lists then.
        calls: (path, body, headers) of what came in.
        looks: paths of the GETs.
        left: set once the other side has gone while this one waited.
    """

    def __init__(self, *answers, healthy=200):
        self.answers = list(answers)
        self.healthy = healthy
        self.models = []
        self.calls = []
        self.looks = []
        self.left = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _url_of(self, listener):
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

    def close(self):
        """Refuse further connections and cut those there are."""
        for end in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with (
            contextlib.suppress(OSError, ValueError),
            connection,
            connection.makefile("rb") as read,
        ):
            method, path = read.readline().decode().split()[:2]
            headers = {}
            while line := read.readline().strip():
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            if method == "GET":
                self._look(connection, path)
                return
            body = json.loads(read.read(int(headers["content-length"])))
            number = min(len(self.calls), len(self.answers) - 1)
            self.calls.append((path, body, headers))
            self._answer(connection, *self.answers[number])

    def _look(self, connection, path):
        self.looks.append(path)
        body = json.dumps({"data": [{"id": name} for name in self.models]}).encode()
        head = f"HTTP/1.1 {self.healthy} x\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
        connection.sendall(head.encode() + b"\r\n" + body)

    def _answer(self, connection, status, kind, body, then=None):
        head = f"HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)
        connection.settimeout(0.05)
        while then is not None and not then.is_set():
            with contextlib.suppress(TimeoutError):
                if not connection.recv(1):
                    self.left.set()
                    return


SSE, JSON, HTML = "text/event-stream", "application/json", "text/html"


def streamed(*objects, status=200, done=True):
    """An answer of events."""
    return status, SSE, events(*objects, done=done)


def failed(status, body):
    """An error as JSON."""
    return status, JSON, json.dumps(body).encode()
