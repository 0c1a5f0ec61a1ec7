"""How the tests of this folder call a model: four ways, over a gateway or over canned bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

import httpx2
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import tool

from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM

NOWHERE = "http://127.0.0.1:1/api/v1"
KEY = "sk-0123456789abcdef"
THINKER = "deepseek-v4-pro"
"""Takes messages and tools; thinks unless it is told not to."""
PROMPT_ONLY = "ziya-llama-13b-v1"
"""Takes one prompt, knows no tools, reports no usage."""

PATHS = pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream", "astream"])
STREAMS = pytest.mark.parametrize("path", ["stream", "astream"])
EACH_PATH_ONCE = pytest.mark.parametrize(
    ("either", "path"),
    [("chat", "invoke"), ("text", "ainvoke"), ("text", "stream"), ("chat", "astream")],
    indirect=["either"],
)
"""For what all paths of both classes leave to the same functions, which get all that they need."""
STREAMING_TOO = pytest.mark.parametrize(
    ("path", "streaming"),
    [
        *(("invoke", False), ("ainvoke", False), ("stream", False), ("astream", False)),
        *(("invoke", True), ("ainvoke", True)),
    ],
)
"""All paths; with ``streaming`` an invoke streams inside."""
CLASSES = pytest.mark.parametrize("cls", [ChatDashScopeOSS, DashScopeOSSLLM])


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


@tool
def clock() -> str:
    """What time it is."""
    return "noon"


async def call(llm, path, model_input: Any = "Hi", config=None, **arguments):
    """The answer by one of the four paths; of a stream, its pieces added up."""
    if path == "invoke":
        return llm.invoke(model_input, config, **arguments)
    if path == "ainvoke":
        return await llm.ainvoke(model_input, config, **arguments)
    return reduce(add, await pieces(llm, path, model_input, config, **arguments))


async def pieces(llm, path, model_input: Any = "Hi", config=None, **arguments):
    """The pieces of a stream, by one of the two paths."""
    if path == "stream":
        return list(llm.stream(model_input, config, **arguments))
    return [piece async for piece in llm.astream(model_input, config, **arguments)]


async def call_each_way(llm, model_input: Any = "Hi"):
    """The answers by every path, streamed inside of an invoke too."""
    return [
        llm.invoke(model_input),
        await llm.ainvoke(model_input),
        llm.invoke(model_input, stream=True),
        await llm.ainvoke(model_input, stream=True),
        await call(llm, "stream", model_input),
        await call(llm, "astream", model_input),
    ]


def text_of(answer):
    """The text of an answer of either class."""
    return getattr(answer, "text", answer)


def offline(cls=ChatDashScopeOSS, model="llama3-8b-instruct", **settings):
    """A model that calls nobody."""
    return cls(**{"model": model, "base_url": NOWHERE, **settings})


class Seen(BaseCallbackHandler):
    """Keeps what callbacks are told of runs of either class."""

    def __init__(self):
        self.starts, self.runs, self.tokens, self.chunks, self.retries = [], [], [], [], []
        self.result = self.error = self.error_response = None

    @property
    def info(self):
        """What is known of the answer beside its text."""
        return self.result.generations[0][0].generation_info

    @property
    def model_name(self):
        """The model that answered, as the answer has it."""
        generation = self.result.generations[0][0]
        message = getattr(generation, "message", None)
        return (message.response_metadata if message else self.info)["model_name"]

    def on_chat_model_start(self, serialized, messages, *, run_id, **details):
        self.starts.append(details)
        self.runs.append(run_id)

    def on_llm_start(self, serialized, prompts, *, run_id, **details):
        self.starts.append({"prompts": prompts, **details})
        self.runs.append(run_id)

    def on_llm_new_token(self, token, *, chunk=None, **_):
        self.tokens.append(token)
        self.chunks.append(chunk)

    def on_llm_end(self, response, **_):
        self.result = response

    def on_llm_error(self, error, *, response=None, **_):
        self.error, self.error_response = error, response

    def on_retry(self, retry_state, *, run_id, **_):
        self.retries.append((run_id, retry_state))


class Server:
    """Canned bytes in place of a service, for shapes that no gateway of ours sends."""

    def __init__(self, respond: Callable[[httpx2.Request], httpx2.Response]):
        self.requests: list[httpx2.Request] = []
        self._respond = respond

    def _answer(self, request):
        self.requests.append(request)
        return self._respond(request)

    async def _aanswer(self, request):
        return self._answer(request)

    def model(self, cls=ChatDashScopeOSS, model="llama3-8b-instruct", **settings):
        return cls(
            model=model,
            http_client=httpx2.Client(transport=httpx2.MockTransport(self._answer)),
            http_async_client=httpx2.AsyncClient(transport=httpx2.MockTransport(self._aanswer)),
            **{"base_url": NOWHERE, **settings},
        )

    def body(self):
        """The JSON body of the last request."""
        return json.loads(self.requests[-1].content)


def answering(output=None, **body):
    """A server that gives this one answer to everything."""
    whole = {"output": output or as_choice("ok", "stop"), "request_id": "r", **body}
    return Server(lambda _: httpx2.Response(200, json=whole))


def streaming(*outputs):
    """A server that streams these outputs."""
    frames = [json.dumps({"output": output, "request_id": "r"}) for output in outputs]
    text = "".join(
        f"id:{n}\nevent:result\n:HTTP_STATUS/200\ndata:{frame}\n\n"
        for n, frame in enumerate(frames)
    )
    headers = {"content-type": "text/event-stream"}
    return Server(lambda _: httpx2.Response(200, text=text, headers=headers))


def as_text(text, reason):
    """The older shape of an output."""
    return {"text": text, "finish_reason": reason}


def as_choice(text, reason, **fields):
    """The shape of an output that was asked for as a message."""
    message = {"role": "assistant", "content": text, **fields}
    return {"choices": [{"message": message, "finish_reason": reason}]}
