"""An OpenAI-compatible server for tests, on a real socket: it notes calls and sends any answer."""

import contextlib
import json
import socket
import threading

SSE, JSON, HTML = "text/event-stream", "application/json", "text/html"


def chunk(finish_reason=None, **delta):
    """One piece of a chat completion."""
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def short_answer(text, finish_reason="stop"):
    """The pieces of a short chat completion."""
    return (chunk(role="assistant", content=text), chunk(finish_reason))


def events(*objects, done=True):
    """The body of an answer of events."""
    lines = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in objects]
    return b"".join(lines) + (b"data: [DONE]\n\n" if done else b"")


def streamed(*objects, status=200, done=True):
    """An answer of events."""
    return status, SSE, events(*objects, done=done)


def failed(status, body):
    """An error as JSON."""
    return status, JSON, json.dumps(body).encode()


class FakeUpstream:
    """Answers each POST with the next of its answers; the last repeats.

    Each answer is a status, a content type (or ``None``) and a body, and may have an event that
    must be set before the connection ends, and bytes that are sent again and again until then; or
    it is a function of the request's body that returns these.

    Attributes:
        answers: what is still to be sent, and was sent.
        health_status: the status with which a GET is answered.
        models: the models that it lists then.
        calls: path, body and headers of each POST.
        health_checks: path of each GET.
        left: set once the other side has gone while this one waited.
    """

    def __init__(self, *answers, health_status=200):
        self.answers = list(answers)
        self.health_status = health_status
        self.models = []
        self.calls = []
        self.health_checks = []
        self.left = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """Refuse further connections and cut those there are."""
        for end in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with (
            contextlib.suppress(OSError, ValueError),
            connection,
            connection.makefile("rb") as incoming,
        ):
            method, path = incoming.readline().decode().split()[:2]
            headers = {}
            while line := incoming.readline().strip():
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            if method == "GET":
                self._answer_health_check(connection, path)
                return
            body = json.loads(incoming.read(int(headers["content-length"])))
            number = min(len(self.calls), len(self.answers) - 1)
            self.calls.append((path, body, headers))
            answer = self.answers[number]
            self._answer(connection, *(answer(body) if callable(answer) else answer))

    def _answer_health_check(self, connection, path):
        self.health_checks.append(path)
        body = json.dumps({"data": [{"id": name} for name in self.models]}).encode()
        head = (
            f"HTTP/1.1 {self.health_status} x\r\ncontent-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        connection.sendall(head.encode() + body)

    def _answer(self, connection, status, content_type, body, until=None, drip=b""):
        kind = f"content-type: {content_type}\r\n" if content_type else ""
        head = f"HTTP/1.1 {status} x\r\n{kind}connection: close\r\n\r\n"
        connection.sendall(head.encode() + body)
        connection.settimeout(0.05)
        while until is not None and not until.is_set():
            with contextlib.suppress(TimeoutError):
                if not connection.recv(1):
                    self.left.set()
                    return
            connection.sendall(drip)
