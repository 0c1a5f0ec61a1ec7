"""The key of a call is shown nowhere: not by a model, a callback, a log, an error or its causes."""

from __future__ import annotations

import asyncio
import copy
import io
import logging
import pickle
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any

import httpx2
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
from pydantic import Field

from dashscope_oss.errors import DashScopeError, ProtocolError, ServerError
from langchain_dashscope_oss import ChatDashScopeOSS
from llama_index_dashscope_oss import DashScopeOSS

from .callers import KEY, MODEL, Caller, chain
from .key_search import places_of_key
from .matrix import table
from .server import (
    SSE_HEAD,
    Close,
    RawServer,
    UntilGone,
    answer,
    chunk,
    error_frame,
    frame,
    head,
    message_frame,
    message_reply,
    refusal,
    stream,
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


def test_a_model_and_its_copies_show_their_key_nowhere(model):
    changed = model.model_copy(update={"temperature": 0.5})
    for shown in (model, copy.copy(model), copy.deepcopy(model), model.model_copy(), changed):
        assert not [name for name, text in surfaces(shown) if list(places_of_key(text))]


# What a call leaves behind


class Recorder(BaseCallbackHandler):
    """Keeps all that LangChain reports of a run."""

    def __init__(self) -> None:
        self.reported: list[object] = []

    def _record(self, *args: object, **kwargs: object) -> None:
        self.reported.append((args, kwargs))

    on_chat_model_start = on_llm_start = on_llm_new_token = _record
    on_llm_end = on_llm_error = on_retry = on_chain_start = on_chain_end = on_chain_error = _record


class RunRecorder(BaseTracer):
    """Keeps what a tracing service is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.reported: list[object] = []

    def _persist_run(self, run) -> None:
        self.reported.append((dict(run), str(run), run.error))


class IndexRecorder(IndexHandler):
    """Keeps all that LlamaIndex reports of an event."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.reported: list[object] = []

    def on_event_start(self, event_type, payload=None, event_id="", parent_id="", **more) -> str:
        self.reported.append((event_type, payload, more))
        return event_id

    def on_event_end(self, event_type, payload=None, event_id="", **more) -> None:
        self.reported.append((event_type, payload, more))

    def start_trace(self, trace_id=None) -> None: ...

    def end_trace(self, trace_id=None, trace_map=None) -> None: ...


class EventRecorder(BaseEventHandler):
    """Keeps the events of LlamaIndex's instrumentation."""

    reported: list[object] = Field(default_factory=list)

    def handle(self, event, **more) -> None:
        self.reported.append((event, event.model_dump(), str(event)))


@contextmanager
def instrumented(reported: list[object]) -> Iterator[None]:
    dispatcher, events, spans = get_dispatcher(), EventRecorder(reported=[]), SimpleSpanHandler()
    dispatcher.add_event_handler(events)
    dispatcher.add_span_handler(spans)
    try:
        yield
    finally:
        reported += [events.reported, spans.completed_spans, spans.dropped_spans, spans.open_spans]
        dispatcher.event_handlers.remove(events)
        dispatcher.span_handlers.remove(spans)


LOGGERS = ("httpx2", "httpcore2", "dashscope_oss", "asyncio", "langchain_core", "llama_index")


@contextmanager
def everything_reported(reported: list[object], caplog) -> Iterator[None]:
    """Listen to everything that can be listened to: logs, output, warnings, events, spans."""
    caplog.set_level(logging.DEBUG)
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, name)
    printed = io.StringIO()
    with (
        warnings.catch_warnings(record=True) as warned,
        redirect_stdout(printed),
        redirect_stderr(printed),
        instrumented(reported),
    ):
        warnings.simplefilter("always")
        set_debug(True)
        set_verbose(True)
        try:
            yield
        finally:
            set_debug(False)
            set_verbose(False)
    reported += [[str(one.message) for one in warned], printed.getvalue()]
    reported += [[record.name, record.getMessage(), record.__dict__] for record in caplog.records]


def recorders_for(caller: Caller) -> tuple[dict[str, object], list[Any]]:
    """Return the settings that let a framework report to recorders, and these."""
    if caller.library == "core":
        return {}, []
    if caller.library == "llama_index":
        recorder = IndexRecorder()
        return {"callback_manager": CallbackManager([recorder])}, [recorder]
    recorders = [Recorder(), RunRecorder(), ConsoleCallbackHandler()]
    return {"callbacks": recorders}, recorders[:2]


def test_a_call_leaves_its_key_nowhere(caller: Caller, caplog):
    reported: list[object] = []
    settings, recorders = recorders_for(caller)
    with RawServer(caller.hello) as server, everything_reported(reported, caplog):
        answered = caller(server, **settings)
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    reported += [answered, *(recorder.reported for recorder in recorders)]
    assert all(recorder.reported for recorder in recorders)
    assert not list(places_of_key(reported))


REPEATED = {"code": "InvalidApiKey", "message": f"the key {KEY} is wrong", "request_id": KEY}
LOCATION = ("Location", f"http://127.0.0.1:1/?{KEY}")
REPETITIONS = {
    "message": answer(REPEATED, "401 No"),
    "code": refusal("401 No", KEY, "no"),
    "request-id": answer({"code": "c", "message": "m", "request_id": KEY}, "400 No"),
    "headers": answer(REPEATED, "401 No", headers=[("X-Request-Id", KEY), ("Set-Cookie", KEY)]),
    "only-a-header": answer(b"", "400 No", headers=[("X-Request-Id", KEY)]),
    "header-that-is-not-ascii": answer(b"", "401 No", headers=[("X-A", f"\xe9{KEY}")]),
    "retried": answer({**REPEATED, "code": "Throttling"}, "429 No"),
    "event": stream(error_frame(401, KEY, f"Bearer {KEY}")),
    "event-in-the-middle": stream(frame("hel"), error_frame(500, KEY, f"Bearer {KEY}")),
    "page": answer(f"<html>{KEY}</html>".encode(), "502 Bad", "text/html"),
    "no-answer": answer(KEY.encode()),
    "answer-of-another-shape": answer(message_reply({"k": KEY})),
    "redirect": answer(b"", "302 No", headers=[LOCATION]),
    "status-line": [f"HTTP/1.1 {KEY}\r\n\r\n".encode(), Close()],
    "header-of-a-cut-answer": [head(length=99, headers=[("X-Request-Id", KEY)]), Close()],
}
SILENCES = {"nothing": [Close()], "timeout": [UntilGone()]}


@table(REPETITIONS | SILENCES, "message", "event-in-the-middle", "timeout", aiohttp=True)
def test_a_failure_leaves_the_key_nowhere_even_if_the_server_repeats_it(
    caller: Caller, case, caplog
):
    reported: list[object] = []
    settings, recorders = recorders_for(caller)
    with RawServer(case) as server, everything_reported(reported, caplog):
        error = caller.fails(server, timeout=0.2, max_retries=1, **settings)
    # httpcore's own log at DEBUG shows heads of answers as they come; SECURITY.md says so.
    reported = [one for one in reported if not str(one).startswith("['httpcore")]
    reported += [error, *(recorder.reported for recorder in recorders)]
    reported += [pickle.dumps(error), *_messages_of(error)]
    reported.append("".join(traceback.format_exception(error)))
    assert not list(places_of_key(reported))


def _messages_of(error: DashScopeError) -> Iterator[object]:
    """Yield what an error and its causes still hold of the request and the answer."""
    for link in chain(error):
        if isinstance(link, httpx2.RequestError):
            with suppress(RuntimeError):  # it knows no request
                yield link.request.headers.raw
    if error.response is not None:
        yield error.response.headers.raw
        yield error.response.content
        with pytest.raises(RuntimeError):
            _ = error.response.request


def test_a_key_in_the_text_so_far_is_taken_out_of_the_error(core: Caller):
    script = [SSE_HEAD, chunk(message_frame(f"my key is {KEY}")), Close()]
    with RawServer(script) as server:
        core.fails(server, DashScopeError, max_retries=0)


def test_only_the_key_is_taken_out_of_a_header(core: Caller):
    header = ("X-A", f"\xe9{KEY}")
    with RawServer(refusal("401 No", "InvalidApiKey", headers=[header])) as server:
        error = core.fails(server)
    assert error.response.headers["x-a"] == "\xe9[key]"


def test_no_part_of_a_key_is_shown_where_a_page_is_cut(caller: Caller):
    for begins in ("\u6b20" * 1325, KEY * 121, KEY * 1000):
        page = f"{begins}{KEY}".encode()
        with RawServer(answer(page, "502 Bad Gateway", "text/html")) as server:
            error = caller.fails(server, ServerError, max_retries=0)
        assert KEY[:6] not in str(error)


def test_no_part_of_a_key_is_shown_where_an_answer_of_another_shape_is_cut(core: Caller):
    with RawServer(answer(message_reply({"a" * 70: KEY}))) as server:
        error = core.fails(server, ProtocolError, max_retries=0)
    assert KEY[:6] not in str(error)


def test_the_events_of_a_streamed_run_hold_no_key():
    async def run(model: ChatDashScopeOSS) -> list[object]:
        events = [event async for event in model.astream_events("q", version="v2")]
        await model.aclose()
        return events

    with RawServer(stream(frame("hello", "stop"))) as server:
        events = asyncio.run(
            run(ChatDashScopeOSS(model=MODEL, base_url=server.base_url, api_key=KEY))
        )
    assert events
    assert not list(places_of_key(events))
