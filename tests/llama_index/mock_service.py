"""A service in place of the network: replies written by hand, such as no gateway would send."""

import json

import httpx2

from llama_index_dashscope_oss import DashScopeOSS
from tests.llama_index.examples import CHAT, LOCAL


class Pieces(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that comes a few bytes at a time."""

    def __init__(self, body: bytes, size: int) -> None:
        self.pieces = [body[at : at + size] for at in range(0, len(body), size)]

    def __iter__(self):
        return iter(self.pieces)

    async def __aiter__(self):
        for piece in self.pieces:
            yield piece


def model_over(handle, model=CHAT, **settings) -> DashScopeOSS:
    """A model whose requests ``handle`` answers, blocking or not."""
    transport = httpx2.MockTransport(handle)
    clients = {
        "http_client": httpx2.Client(transport=transport),
        "http_async_client": httpx2.AsyncClient(transport=transport),
    }
    return DashScopeOSS(**{"model": model, "base_url": LOCAL, **clients, **settings})


def whole(output):
    """A handler that answers with ``output`` at once."""
    return lambda _: httpx2.Response(200, json={"output": output, "request_id": "r"})


def streamed(*outputs, line_end="\n", size=10_000):
    """A handler that streams ``outputs``, ``size`` bytes at a time."""
    lines = []
    for number, output in enumerate(outputs):
        body = json.dumps({"output": output, "request_id": "r"}, ensure_ascii=False)
        lines += [f"id:{number}", "event:result", ":HTTP_STATUS/200", f"data:{body}", "", ": beat"]
    stream = line_end.join([*lines, "", ""]).encode()
    headers = {"content-type": "text/event-stream"}
    return lambda _: httpx2.Response(200, headers=headers, stream=Pieces(stream, size))


def message(content, finish="null") -> dict:
    """An output that is a message, or a piece of one."""
    choices = [{"message": {"role": "assistant", "content": content}}]
    return {"choices": choices, "finish_reason": finish}


def calling(*calls, finish="null") -> dict:
    """A message, or a piece of one, that calls tools: index, id, name and arguments of each."""
    output = message("", finish)
    output["choices"][0]["message"]["tool_calls"] = [
        {"type": "function", "function": _stated(name=name, arguments=arguments)}
        | _stated(index=index, id=id)
        for index, id, name, arguments in calls
    ]
    return output


def _stated(**values) -> dict:
    return {name: value for name, value in values.items() if value is not None}


def answers(request: httpx2.Request) -> httpx2.Response:
    """Answer "at last", streamed if a stream is asked for."""
    if request.headers.get("x-dashscope-sse") == "enable":
        return streamed(message("at "), message("last", "stop"))(request)
    return whole(message("at last", "stop"))(request)


def failing(*failures: int | Exception, retry_after: float = 0):
    """A handler that fails in these ways, then answers; and the list of what it was sent."""
    bodies: list[bytes] = []

    def handle(request):
        bodies.append(request.content)
        failure = failures[len(bodies) - 1] if len(bodies) <= len(failures) else None
        if failure is None:
            return answers(request)
        if isinstance(failure, Exception):
            raise failure
        headers = {"retry-after": str(retry_after)}
        return httpx2.Response(failure, headers=headers, json={"message": "No."})

    return handle, bodies
