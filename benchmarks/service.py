"""An emulated service for benchmarks: DashScope's own protocol and the OpenAI-compatible one.

compare.py starts it in a process of its own. It is no test double: any question gets the same
bytes, made before, so that it costs little and never holds up a client. A line of JSON on stdin
changes settings, and all connections are dropped, so that no client profits from an earlier one;
an empty object changes nothing. The counts since the last change are what it answers.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from functools import cache

ANSWER = "Hangzhou, on the east coast, is the capital of Zhejiang. 杭州是浙江的省会。"
PIECE = "通义千问"
ID = "9ee133f1-1c2b-9c07-9c6f-3a5d7f2c1b0e"
SETTINGS = {"latency": 0.0, "pieces": 1, "pause": 0.0}
COUNTS = {"opened": 0, "most": 0}
OPEN: set[Connection] = set()


def encoded(value: object) -> bytes:
    """Return compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def native(text: str, finish: str, tokens: int) -> bytes:
    """Return an answer, or an event, as DashScope writes it."""
    choice = {"finish_reason": finish, "message": {"role": "assistant", "content": text}}
    usage = {"input_tokens": 17, "output_tokens": tokens, "total_tokens": 17 + tokens}
    return encoded({"output": {"choices": [choice]}, "usage": usage, "request_id": ID})


def compatible(kind: str, text: str, finish: str | None) -> bytes:
    """Return an answer (``message``) or an event (``delta``) as OpenAI writes it."""
    message = {"role": "assistant", "content": text}
    whole = kind == "message"
    usage = {"prompt_tokens": 17, "completion_tokens": 30, "total_tokens": 47}
    return encoded(
        {
            "id": f"chatcmpl-{ID}",
            "object": "chat.completion" if whole else "chat.completion.chunk",
            "created": 1735120033,
            "model": "benchmark",
            "choices": [{"index": 0, kind: message, "logprobs": None, "finish_reason": finish}],
            "usage": usage if whole else None,
        }
    )


HEAD = b"HTTP/1.1 200 OK\r\nX-Request-Id: %b\r\nContent-Type: " % ID.encode()
STREAM = HEAD + b"text/event-stream;charset=UTF-8\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


@cache
def answer(*, openai: bool) -> bytes:
    """Return an answer that is not streamed."""
    body = compatible("message", ANSWER, "stop") if openai else native(ANSWER, "stop", 30)
    return HEAD + b"application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@cache
def events(pieces: int, *, openai: bool) -> tuple[bytes, ...]:
    """Return the events of a stream, each as one chunk of HTTP."""
    chunks = []
    for number in range(1, pieces + 1):
        last = number == pieces
        if openai:
            event = b"data: %b\n\n" % compatible("delta", PIECE, "stop" if last else None)
            event += b"data: [DONE]\n\n" if last else b""
        else:
            data = native(PIECE, "stop" if last else "null", number)
            event = b"id:%d\nevent:result\n:HTTP_STATUS/200\ndata:%b\n\n" % (number, data)
        chunks.append(b"%x\r\n%b\r\n" % (len(event), event))
    return tuple(chunks)


class Connection(asyncio.Protocol):
    """One connection, kept open; a client sends its next request when it has its answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type
        self.transport, self.unread = transport, b""
        OPEN.add(self)
        COUNTS["opened"] += 1
        COUNTS["most"] = max(COUNTS["most"], len(OPEN))

    def connection_lost(self, _: Exception | None) -> None:
        """Count it off."""
        OPEN.discard(self)

    def data_received(self, data: bytes) -> None:
        """Answer as soon as a request is complete."""
        self.unread += data
        head, end, body = self.unread.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if end and len(body) >= int(length):
            self.unread = b""
            self.task = asyncio.ensure_future(self.answer(head.lower(), json.loads(body)))

    async def answer(self, head: bytes, request: dict[str, object]) -> None:
        """Answer; a stream that does not ask for increments is cut, for there is no other here."""
        openai = b"/chat/completions " in head
        if SETTINGS["latency"]:
            await asyncio.sleep(SETTINGS["latency"])
        if b"text/event-stream" not in head and not request.get("stream"):
            self.transport.write(answer(openai=openai))
        elif openai or b'"incremental_output":true' in encoded(request):
            await self.stream(events(int(SETTINGS["pieces"]), openai=openai))
        else:
            self.transport.abort()

    async def stream(self, pieces: tuple[bytes, ...]) -> None:
        """Send all pieces at once, or each when it is due."""
        if not SETTINGS["pause"]:
            self.transport.write(STREAM + b"".join(pieces) + END)
            return
        self.transport.write(STREAM)
        loop = asyncio.get_running_loop()
        due = loop.time()
        for piece in pieces:
            due += SETTINGS["pause"]
            await asyncio.sleep(due - loop.time())
            self.transport.write(piece)
        self.transport.write(END)


async def obey(settings: dict[str, float]) -> None:
    """Change settings, drop all connections and begin to count anew, or change nothing."""
    if settings:
        SETTINGS.update(settings)
        for connection in OPEN:
            connection.transport.abort()
        while OPEN:  # noqa: ASYNC110 - a turn or two of the loop
            await asyncio.sleep(0)
        COUNTS.update(opened=0, most=0)


async def serve(certificate: str | None) -> None:
    """Listen on a free port, which is printed; with TLS if there is a certificate, a PEM file."""
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, ssl=tls, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        await obey(json.loads(line))
        print(json.dumps(COUNTS), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1] if len(sys.argv) > 1 else None))
