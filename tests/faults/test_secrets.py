"""One key, and every surface of every class searched for it."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import io
import logging
import pickle
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_debug, set_verbose
from langchain_core.load import dumpd, dumps
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.stdout import ConsoleCallbackHandler
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.base_handler import BaseCallbackHandler as IndexHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from pydantic import Field, SecretStr

from dashscope_oss import AsyncClient, Client, ConfigurationError, DashScopeError, Endpoint
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM
from llama_index_dashscope_oss import DashScopeOSS

from .callers import KEY, MODEL, Caller, chain
from .server import (
    SSE_HEAD,
    Close,
    RawServer,
    UntilGone,
    answer,
    chunk,
    error_frame,
    frame,
    stream,
    text_reply,
)

ALL = [ChatDashScopeOSS, DashScopeOSSLLM, DashScopeOSS]
NOWHERE = "http://127.0.0.1:1/api/v1"
GOOD = answer(text_reply("hello"))


def fetched() -> str:
    return KEY


@pytest.fixture(params=["text", "secret", "function", "environment", "file"])
def key(request, monkeypatch, tmp_path) -> dict[str, object]:
    """The settings that give a model the key, in every way there is, with white space around."""
    if request.param == "environment":
        monkeypatch.setenv("DASHSCOPE_API_KEY", f" {KEY}\n")
        return {}
    if request.param == "file":
        (tmp_path / "key").write_text(f"{KEY}\n", encoding="utf-8")
        monkeypatch.setenv("DASHSCOPE_API_KEY_FILE_PATH", str(tmp_path / "key"))
        return {}
    return {
        "text": {"api_key": f" {KEY}\n"},
        "secret": {"api_key": SecretStr(f"{KEY} ")},
        "function": {"api_key": fetched},
    }[request.param]


@pytest.fixture(params=ALL, ids=lambda cls: cls.__name__)
def made(request, key):
    return request.param(model=MODEL, base_url=NOWHERE, **key)


def search(found: object, seen: set[int] | None = None, where: str = "it") -> Iterator[str]:
    """Yield the places where the key stands in an object and in all that it holds."""
    seen = set() if seen is None else seen
    if id(found) in seen or isinstance(found, SecretStr | type) or inspect.isroutine(found):
        return
    seen.add(id(found))
    text = found.decode("latin-1") if isinstance(found, bytes) else f"{found!r} {found}"
    inside = [
        place
        for name, value in _parts(found)
        for place in search(value, seen, f"{where}.{name}"[-300:])
    ]
    yield from inside
    if KEY in text and not inside:
        at = text.index(KEY)
        yield f"{where}: {text[max(0, at - 100) : at + 50]}"


def _parts(found: object) -> Iterator[tuple[object, object]]:
    if isinstance(found, Mapping):
        yield from found.items()
    elif isinstance(found, list | tuple | set | frozenset):
        yield from enumerate(found)
    elif type(found).__module__.partition(".")[0] in WALKED:
        yield from dict(getattr(found, "__dict__", {})).items()
    if isinstance(found, BaseException):
        yield from (("cause", link) for link in chain(found)[1:])


WALKED = (
    "dashscope_oss",
    "langchain_dashscope_oss",
    "llama_index_dashscope_oss",
    "langchain_core",
    "llama_index",
    "httpx",
    "httpcore",
    "h11",
)


# What a model object shows


def surfaces(model) -> Iterator[tuple[str, object]]:
    """Every text that an object of either framework makes of itself."""
    yield "repr", repr(model)
    yield "str", str(model)
    yield "format", f"{model}"
    yield "rich", list(model.__rich_repr__())
    yield "pretty", list(model.__pretty__(repr))
    yield "dump", str(model.model_dump())
    yield "json dump", model.model_dump_json()
    yield "set", str(model.model_dump(exclude_unset=True))
    yield "iteration", str(dict(model))
    yield "pickle", pickle.dumps(model)
    yield "vars", str(vars(model))
    yield "private", str(getattr(model, "__pydantic_private__", None))
    yield from of_llama_index(model) if isinstance(model, DashScopeOSS) else of_langchain(model)


def of_langchain(model) -> Iterator[tuple[str, object]]:
    yield "dumps", dumps(model)
    yield "pretty dumps", dumps(model, pretty=True)
    yield "dumpd", dumpd(model)
    yield "to_json", str(model.to_json())
    yield "not implemented", str(model.to_json_not_implemented())
    yield "attributes", str(model.lc_attributes)
    yield "identity", str(model._identifying_params)
    yield "ls_params", str(model._get_ls_params())
    yield "asdict", str(model.asdict())
    chained = ChatPromptTemplate.from_messages([("human", "{x}")]) | model.bind(stop=["x"])
    yield "chain", f"{chained!r} {dumps(chained)} {chained.get_graph().draw_mermaid()}"
    yield "retrying", repr(model.with_retry().with_config(tags=["t"]))
    yield "fallbacks", dumps(model.with_fallbacks([model]))
    if isinstance(model, ChatDashScopeOSS):
        yield "cache key", model._get_llm_string(stop=None)
        yield "profile", str(model.profile)


def of_llama_index(model) -> Iterator[tuple[str, object]]:
    yield "to_dict", str(model.to_dict())
    yield "to_json", model.to_json()
    yield "payload", str(model.to_payload())
    yield "metadata", str(model.metadata)
    yield "class", str(model.class_schema() if hasattr(model, "class_schema") else "")
    yield "memory", model.chat_memory().to_json()


def test_a_model_shows_its_key_nowhere(made):
    shown = {name: list(search(text)) for name, text in surfaces(made)}
    assert not {name: places for name, places in shown.items() if places}


def test_a_copy_shows_no_key_either_and_has_it(made):
    for copied in (copy.copy(made), copy.deepcopy(made), made.model_copy()):
        assert not [name for name, text in surfaces(copied) if list(search(text))]
        assert copied._client.endpoint.key() == KEY


def test_a_copy_with_another_setting_has_the_key(made):
    copied = made.model_copy(update={"temperature": 0.5})
    assert copied._client.endpoint.key() == KEY


@pytest.mark.parametrize("cls", ALL)
def test_the_environment_of_the_reader_has_the_key_of_a_pickle(cls, monkeypatch):
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-here")
    stored = [
        pickle.dumps(cls(model=MODEL, base_url=NOWHERE, **given))
        for given in ({}, {"api_key": KEY}, {"api_key": SecretStr(KEY)})
    ]
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-there")
    assert [pickle.loads(one)._client.endpoint.key() for one in stored] == ["sk-there"] * 3
    assert not [one for one in stored if KEY.encode() in one or b"sk-here" in one]


@pytest.mark.parametrize("cls", ALL)
def test_a_function_for_the_key_stays_in_a_pickle(cls):
    stored = pickle.dumps(cls(model=MODEL, base_url=NOWHERE, api_key=fetched))
    assert pickle.loads(stored)._client.endpoint.key() == KEY


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_the_core_shows_its_key_nowhere(kind, key):
    endpoint = Endpoint.resolve(base_url=NOWHERE, **key)
    caller = kind(endpoint)
    for found in (endpoint, caller):
        assert KEY not in f"{found!r} {found} {getattr(found, '__dict__', '')}"
        assert KEY.encode() not in pickle.dumps(found)
        assert copy.deepcopy(found) is not None
    assert copy.deepcopy(caller).endpoint.key() == KEY


def test_a_pickled_endpoint_reads_the_environment_where_it_is_read(monkeypatch):
    stored = pickle.dumps(Endpoint.resolve(base_url=NOWHERE, api_key=KEY))
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-there")
    assert pickle.loads(stored).key() == "sk-there"


# A key that cannot be one


@pytest.mark.parametrize("bad", [f"{KEY}\nX", f"{KEY} X", f"{KEY}\0", f"{KEY}é", f"{KEY}\r\nA: b"])
@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("way", ["text", "secret", "environment"])
def test_a_bad_key_is_refused_at_once_and_not_shown(cls, bad, way, monkeypatch):
    given: dict[str, Any] = {"text": {"api_key": bad}, "secret": {"api_key": SecretStr(bad)}}.get(
        way, {}
    )
    if way == "environment":
        if "\0" in bad:
            pytest.skip("no environment holds it")
        monkeypatch.setenv("DASHSCOPE_API_KEY", bad)
    with pytest.raises(ConfigurationError) as caught:
        cls(model=MODEL, **given)
    assert not list(search(caught.value))


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("given", [7, ["list"], {"a": KEY}])
def test_a_key_of_a_wrong_type_is_refused_and_not_shown(cls, given):
    with pytest.raises(ValueError, match="api_key") as caught:
        cls(model=MODEL, base_url=NOWHERE, api_key=given)
    assert not list(search(caught.value))


@pytest.mark.parametrize("found", [7, "", f"{KEY}\nX"])
def test_a_function_that_gives_no_key_is_an_error_before_any_request(caller: Caller, found):
    with RawServer(GOOD) as server:
        error = caller.fails(server, ConfigurationError, "api_key", api_key=lambda: found)
    assert server.requests == []
    assert not list(search(error))


# What a call leaves behind


class Taker(BaseCallbackHandler):
    """Keeps all that LangChain tells of a run."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def _take(self, *args: object, **kwargs: object) -> None:
        self.told.append((args, kwargs))

    on_chat_model_start = on_llm_start = on_llm_new_token = _take
    on_llm_end = on_llm_error = on_retry = on_chain_start = on_chain_end = on_chain_error = _take


class Tracer(BaseTracer):
    """Keeps what a tracing service is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[object] = []

    def _persist_run(self, run) -> None:
        self.told.append((dict(run), str(run), run.error))


class IndexTaker(IndexHandler):
    """Keeps all that LlamaIndex tells of an event."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.told: list[object] = []

    def on_event_start(self, event_type, payload=None, event_id="", parent_id="", **more) -> str:
        self.told.append((event_type, payload, more))
        return event_id

    def on_event_end(self, event_type, payload=None, event_id="", **more) -> None:
        self.told.append((event_type, payload, more))

    def start_trace(self, trace_id=None) -> None: ...

    def end_trace(self, trace_id=None, trace_map=None) -> None: ...


class Events(BaseEventHandler):
    """Keeps the events of LlamaIndex's instrumentation."""

    told: list[object] = Field(default_factory=list)

    def handle(self, event, **more) -> None:
        self.told.append((event, event.model_dump(), str(event)))


@contextmanager
def instrumented(told: list[object]) -> Iterator[None]:
    dispatcher, events, spans = get_dispatcher(), Events(told=[]), SimpleSpanHandler()
    dispatcher.add_event_handler(events)
    dispatcher.add_span_handler(spans)
    try:
        yield
    finally:
        told += [events.told, spans.completed_spans, spans.dropped_spans, spans.open_spans]
        dispatcher.event_handlers.remove(events)
        dispatcher.span_handlers.remove(spans)


@contextmanager
def watched(told: list[object], caplog) -> Iterator[dict[str, object]]:
    """Listen to everything that can be listened to; yield settings for a model."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "dashscope_oss", "asyncio", "langchain_core", "llama_index"):
        caplog.set_level(logging.DEBUG, name)
    printed = io.StringIO()
    with (
        warnings.catch_warnings(record=True) as warned,
        redirect_stdout(printed),
        redirect_stderr(printed),
        instrumented(told),
    ):
        warnings.simplefilter("always")
        set_debug(True)
        set_verbose(True)
        try:
            yield {}
        finally:
            set_debug(False)
            set_verbose(False)
    told += [[str(one.message) for one in warned], printed.getvalue()]
    told += [[record.name, record.getMessage(), record.__dict__] for record in caplog.records]


def listening(caller: Caller) -> tuple[dict[str, object], list[Any]]:
    if caller.framework == "llama_index":
        taker = IndexTaker()
        return {"callback_manager": CallbackManager([taker])}, [taker]
    takers = [Taker(), Tracer(), ConsoleCallbackHandler()]
    return {"callbacks": takers}, takers[:2]


def test_a_call_leaves_its_key_nowhere(caller: Caller, caplog):
    good = stream(frame("hel"), frame("lo", "stop")) if caller.streams else GOOD
    told: list[object] = []
    settings, takers = listening(caller)
    with RawServer(good) as server, watched(told, caplog):
        found = caller(server, **settings)
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    told += [found, *(taker.told for taker in takers)]
    assert all(taker.told for taker in takers)
    assert not list(search(told))


ECHO = {"code": "InvalidApiKey", "message": f"the key {KEY} is wrong", "request_id": KEY}
ECHOES = {
    "message": answer(ECHO, "401 No"),
    "headers": answer(ECHO, "401 No", headers=[("X-Request-Id", KEY), ("Set-Cookie", KEY)]),
    "retried": answer({**ECHO, "code": "Throttling"}, "429 No"),
    "event": stream(error_frame(401, KEY, f"Bearer {KEY}")),
    "middle": stream(frame("hel"), error_frame(500, KEY, f"Bearer {KEY}")),
    "page": answer(f"<html>{KEY}</html>".encode(), "502 Bad", "text/html"),
    "redirect": answer(b"", "302 No", headers=[("Location", f"http://127.0.0.1:1/?{KEY}")]),
    "status line": [f"HTTP/1.1 {KEY}\r\n\r\n".encode(), Close()],
    "nothing": [Close()],
    "timeout": [UntilGone()],
}


@pytest.mark.parametrize("script", ECHOES.values(), ids=ECHOES)
def test_a_failure_leaves_the_key_nowhere_even_if_the_server_repeats_it(
    caller: Caller, script, caplog
):
    told: list[object] = []
    settings, takers = listening(caller)
    with RawServer(script) as server, watched(told, caplog):
        error = caller.fails(server, timeout=0.2, max_retries=1, **settings)
    # httpcore's own log at DEBUG shows heads of answers as they come; SECURITY.md says so.
    told = [one for one in told if not str(one).startswith("['httpcore.")]
    told += [error, *(taker.told for taker in takers)]
    told += [pickle.dumps(error), *_requests(error)]
    told.append("".join(traceback.format_exception(error)))
    assert not list(search(told))


def _requests(error: DashScopeError) -> Iterator[object]:
    """Yield the requests that an error and its causes still know, as they went out."""
    for link in chain(error):
        if (request := getattr(link, "_request", None)) is not None:
            yield request.headers.raw
    if error.response is not None:
        yield error.response.headers.raw
        yield error.response.content
        with pytest.raises(RuntimeError):
            _ = error.response.request


def test_the_events_of_a_streamed_run_hold_no_key():
    async def run(model: ChatDashScopeOSS) -> list[object]:
        found = [event async for event in model.astream_events("q", version="v2")]
        await model.aclose()
        return found

    with RawServer(stream(frame("hello", "stop"))) as server:
        told = asyncio.run(
            run(ChatDashScopeOSS(model=MODEL, base_url=server.base_url, api_key=KEY))
        )
    assert told
    assert not list(search(told))


# The log of this package


def _ours(caplog) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "dashscope_oss"]


def test_the_log_has_a_line_a_try_and_one_a_retry(caller: Caller, caplog):
    """Model, attempt, status, request id and seconds; the reason of a retry; no words."""
    caplog.set_level(logging.DEBUG)
    good = (
        stream(frame("answer", "stop"))
        if caller.streams
        else answer(text_reply("answer"), headers=[("X-Request-Id", "r-1")])
    )
    busy = answer({"code": "Throttling", "message": "question?", "request_id": "r-0"}, "429 No")
    with RawServer(busy, good) as server:
        caller(server)
    first, again, second = _ours(caplog)
    assert first.startswith(f"model {MODEL}: attempt 1, status 429, request id r-0, 0.")
    assert first.endswith(" s, RateLimitError")
    assert again.startswith(f"model {MODEL}: again in 0.")
    assert again.endswith("s after RateLimitError, status 429, code Throttling")
    assert second.startswith(f"model {MODEL}: attempt 2, status 200, request id r-1, 0.")
    assert "question" not in " ".join([first, again, second])
    assert "answer" not in " ".join([first, again, second])


def test_the_log_says_which_call_had_no_answer(caller: Caller, caplog):
    caplog.set_level(logging.DEBUG)
    with RawServer([Close()]) as server:
        caller.fails(server, max_retries=0)
    (line,) = _ours(caplog)
    assert line.startswith(f"model {MODEL}: attempt 1, status None, request id None, 0.")
    assert line.endswith("APIConnectionError")


def test_the_log_says_of_a_stream_that_it_was_stopped(streaming: Caller, caplog):
    caplog.set_level(logging.DEBUG)

    def enough(_: str) -> None:
        raise LookupError

    streaming.on_piece = enough
    with (
        RawServer([SSE_HEAD, chunk(frame("hel")), UntilGone()]) as server,
        pytest.raises(LookupError),
    ):
        streaming(server)
    gc.collect()
    (line,) = _ours(caplog)
    assert line.endswith("stopped")


def test_nothing_is_logged_above_debug(caller: Caller, caplog):
    caplog.set_level(logging.INFO, "dashscope_oss")
    with RawServer([Close()]) as server:
        caller.fails(server, max_retries=1)
    assert _ours(caplog) == []
