"""What a reader who had not seen the code before tried: rare bytes, copies, abandoned streams."""

from __future__ import annotations

import asyncio
import gc
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate

from dashscope_oss.errors import (
    ConfigurationError,
    ContentBlockedError,
    InvalidRequestError,
    ProtocolError,
    QuotaExhaustedError,
    ServerError,
    UnsupportedInputError,
)
from dashscope_oss.transport.endpoint import KEY_FILE_VARIABLE, KEY_VARIABLE, Endpoint
from llama_index_dashscope_oss import DashScopeOSS

from .callers import KEY, Caller
from .server import (
    SSE_HEAD,
    Endless,
    RawServer,
    answer,
    chunk,
    frame,
    head,
    message_reply,
    refusal,
    sse,
    stream,
)

GOOD = answer(message_reply("answer"))
LONE = rb'{"code":"Arrearage","message":"half a pair: \ud83d","request_id":"r-1"}'


def test_a_refusal_whose_headers_are_no_ascii_is_an_error_of_its_kind(caller: Caller):
    """A proxy writes headers in UTF-8 or Latin-1, where httpx writes ASCII only."""
    with RawServer(
        head("400 Bad", headers=[("X-Where", "caf\xe9 \xff"), ("X-Request-Id", "r-\xe9")], length=2)
        + b"{}"
    ) as server:
        error = caller.fails(server, InvalidRequestError)
    assert error.request_id == "r-\xe9"
    assert error.response.headers["x-where"] == "caf\xe9 \xff"


def test_a_key_repeated_in_such_a_header_is_taken_out(caller: Caller):
    with RawServer(refusal("401 No", "InvalidApiKey", headers=[("X-A", f"\xe9{KEY}")])) as server:
        error = caller.fails(server)
    assert error.response.headers["x-a"] == "\xe9[key]"


def test_half_a_surrogate_pair_in_an_errors_words_hides_neither_code_nor_id(caller: Caller):
    with RawServer(answer(LONE, "400 Bad Request")) as server:
        error = caller.fails(server, QuotaExhaustedError, match="half a pair: \ufffd")
    assert (error.code, error.request_id) == ("Arrearage", "r-1")


def test_half_a_surrogate_pair_in_an_error_event_hides_neither_code_nor_id(streaming: Caller):
    with RawServer(stream(sse(LONE, "error", 400))) as server:
        error = streaming.fails(server, QuotaExhaustedError, match="half a pair: \ufffd")
    assert (error.code, error.request_id) == ("Arrearage", "r-1")


def test_a_whole_surrogate_pair_in_an_errors_words_stays(caller: Caller):
    body = rb'{"code":"DataInspectionFailed","message":"\ud83d\ude00"}'
    with RawServer(answer(body, "400 Bad Request")) as server:
        caller.fails(server, ContentBlockedError, match="\U0001f600")


@pytest.mark.parametrize("before", ["\u6b20" * 1325, KEY * 121, KEY * 1000])
def test_not_even_half_a_key_is_shown_where_a_page_is_cut(caller: Caller, before: str):
    page = f"{before}{KEY}".encode()
    with RawServer(answer(page, "502 Bad Gateway", "text/html")) as server:
        error = caller.fails(server, ServerError, max_retries=0)
    assert KEY[:6] not in str(error)


def test_not_even_half_a_key_is_shown_of_text_that_is_no_text(caller: Caller):
    with RawServer(answer(message_reply({"a" * 70: KEY}))) as server:
        error = caller.fails(server, ProtocolError, max_retries=0)
    assert KEY[:6] not in str(error)


def ask(caller: Caller, model) -> None:
    """Call a model made by ``caller``, in its way."""
    if not caller.is_async:
        caller.ask(model)
        model.close()
        return

    async def alone() -> None:
        await caller.aask(model)
        await model.aclose()

    asyncio.run(alone())


def closed_client(caller: Caller) -> dict[str, object]:
    """Return the setting that passes a client of the caller's own, which is closed already."""
    if not caller.is_async:
        http = httpx.Client()
        http.close()
        return {"http_client": http}
    own = httpx.AsyncClient()
    asyncio.run(own.aclose())
    return {"http_async_client": own}


def test_a_closed_client_of_the_callers_own_is_named(caller: Caller):
    with RawServer(GOOD) as server:
        own = closed_client(caller)
        caller.fails(server, ConfigurationError, match="client that was passed .*closed", **own)
    assert server.requests == []


@pytest.mark.parametrize("mode", ["achat", "astream"])
@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_a_client_of_another_event_loop_is_named(framework: str, mode: str):
    caller, http = Caller(framework, mode), httpx.AsyncClient()
    loop = asyncio.new_event_loop()
    with RawServer(GOOD) as server:
        model = caller.model(server, http_async_client=http)
        loop.run_until_complete(caller.aask(model))
        with pytest.raises(ConfigurationError, match="one event loop only"):
            asyncio.run(caller.aask(model))
        loop.run_until_complete(http.aclose())
    loop.close()


def test_a_call_that_meets_a_close_by_another_thread_is_tried_again(caller: Caller):
    """The connections are closed between being chosen and being used."""
    with RawServer(GOOD) as server:
        model = caller.model(server)
        client = model._async_client if caller.is_async else model._client
        first = httpx.AsyncClient() if caller.is_async else httpx.Client()
        first._state = httpx._client.ClientState.CLOSED
        chosen, found = client._client, [first]

        def choose():
            return found.pop() if found else chosen()

        async def achoose():
            return found.pop() if found else await chosen()

        client._client = achoose if caller.is_async else choose
        ask(caller, model)
        assert len(server.requests) == 1
        assert len(caller.waits) == 1


ENDLESS = [SSE_HEAD, chunk(frame("piece")), Endless(chunk(frame("more")), pause=0.02)]


@pytest.fixture
def keyless(monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """A remote endpoint, and no key anywhere."""
    for name in (KEY_VARIABLE, KEY_FILE_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return Endpoint(base_url="https://dashscope.example/api/v1")


def test_a_user_without_a_home_is_told_of_the_missing_key(keyless, monkeypatch):
    """Containers run programs as users of whom the system knows nothing."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ConfigurationError, match="no API key"):
        keyless.key()


def test_a_file_without_a_key_is_named(keyless, monkeypatch, tmp_path):
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(ConfigurationError, match="nothing' of DASHSCOPE_API_KEY_FILE_PATH"):
        keyless.key()


def test_half_a_key_is_in_no_log_line_either(caller: Caller, caplog):
    said = "r" * 190 + KEY
    page = answer({"code": "X"}, "400 No", headers=[("X-Request-Id", said)])
    with RawServer(page) as server, caplog.at_level("DEBUG", "dashscope_oss"):
        caller.fails(server)
    assert caplog.messages
    assert KEY[:6] not in caplog.text


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_a_loop_that_ends_with_streams_still_held_closes_them_without_a_complaint(framework: str):
    caller = Caller(framework, "astream")
    held, said = [], []

    async def leave(model) -> None:
        pieces = (
            model.astream("question")
            if framework == "langchain"
            else await model.astream_chat([ChatMessage("question")])
        )
        held.append(pieces)
        await anext(pieces)

    async def run(server: RawServer) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: said.append(what))
        model = caller.model(server)
        await asyncio.gather(*(leave(model) for _ in range(5)))

    with RawServer(ENDLESS) as server:
        asyncio.run(run(server))
        assert server.gone.wait(5)
    assert len(held) == 5
    held.clear()
    gc.collect()
    assert said == []


def test_a_copy_with_another_address_and_key_calls_there(caller: Caller):
    with RawServer(GOOD) as first, RawServer(GOOD) as second:
        model = caller.model(first)
        ask(caller, model)
        ask(caller, model.model_copy(update={"base_url": second.base_url, "api_key": "sk-2"}))
        assert [len(first.requests), len(second.requests)] == [1, 1]
        assert second.requests[0].headers["authorization"] == "Bearer sk-2"


def test_an_address_that_is_set_later_is_the_one_that_is_called(caller: Caller):
    with RawServer(GOOD) as first, RawServer(GOOD) as second:
        model = caller.model(first)
        model.base_url = second.base_url
        ask(caller, model)
        assert [len(first.requests), len(second.requests)] == [0, 1]


def test_the_template_follows_a_model_that_is_set_later():
    """LlamaIndex keeps the template in a field of the object; a user's own stays."""
    model = DashScopeOSS(model="ziya-llama-13b-v1", base_url="http://127.0.0.1:1/api/v1")
    prompt = PromptTemplate("question")
    assert model._get_prompt(prompt) == "<human>:question\n<bot>:"
    model.model = "belle-llama-13b-2m-v1"
    assert model._get_prompt(prompt) == "Human:question\n\nAssistant:"
    plain = model.model_copy(update={"model": "llama3-8b-instruct"})
    assert "Human:" not in plain._get_prompt(prompt)
    own = DashScopeOSS(
        model="ziya-llama-13b-v1",
        base_url="http://127.0.0.1:1/api/v1",
        completion_to_prompt=lambda text: f"own {text}",
    )
    own.model = "belle-llama-13b-2m-v1"
    assert own.completion_to_prompt("question") == "own question"


def test_arguments_of_an_earlier_call_that_are_no_json_are_refused_before_sending(caller: Caller):
    args = {"when": datetime.now(UTC)}
    block = {"block_type": "tool_call", "tool_name": "f", "tool_kwargs": args}
    asked = (
        [HumanMessage("q"), AIMessage("", tool_calls=[{"name": "f", "args": args, "id": "1"}])]
        if caller.framework == "langchain"
        else [ChatMessage("q"), ChatMessage(role="assistant", blocks=[block])]
    )
    with RawServer(GOOD) as server, pytest.raises(UnsupportedInputError, match="datetime"):
        caller(server, asked)
    assert server.requests == []
