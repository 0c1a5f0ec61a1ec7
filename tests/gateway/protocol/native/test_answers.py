"""Replies and events are written as the service writes them."""

import json
from dataclasses import replace

import httpx
import pytest

from dashscope_oss import Client, Endpoint, completion_request, find_model
from dashscope_oss.gateway import Answer, Fault, Gateway, ScriptedEngine, serve_in_thread
from dashscope_oss.gateway.http.request import HttpRequest
from dashscope_oss.gateway.http.response import HttpResponse
from dashscope_oss.gateway.interface.api_error import APIError
from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.gateway.interface.served_models import modernize
from dashscope_oss.gateway.protocol.native.echo import echo_around
from dashscope_oss.gateway.protocol.native.parse_request import parse_request
from dashscope_oss.messages import Delta, ToolCall, Usage
from dashscope_oss.protocol.streaming.deltas import join_deltas
from dashscope_oss.registry.lookup import known_model

TEXT = "/services/aigc/text-generation/generation"
MULTIMODAL = TEXT.replace("text-", "multimodal-")
SSE = {"Accept": "text/event-stream"}
USAGE = Usage(input_tokens=7, output_tokens=9, total_tokens=16)
COUNTS = {"input_tokens": 7, "output_tokens": 9, "total_tokens": 16}
PROMPT = "<human>:帮我写一份去西安的旅游计划\n<bot>:"
UNCOUNTED = ("ziya-llama-13b-v1", "belle-llama-13b-2m-v1", "billa-7b-sft-v1", "baichuan-7b-v1")


def post(engine, body, *, path=TEXT, headers=None):
    content = json.dumps(body).encode()
    url = engine.base_url + path
    return httpx.post(url, content=content, headers=headers or {}, verify=False)


def talk(model="llama3-8b-instruct", content="hi", **parameters):
    messages = [{"role": "user", "content": content}]
    return {"model": model, "input": {"messages": messages}, "parameters": parameters}


def prompt(model="ziya-llama-13b-v1", text=PROMPT, **parameters):
    return {"model": model, "input": {"prompt": text}, "parameters": parameters}


def events(reply):
    """The lines before the data, and the data, of each event."""
    split = [event.split("\n") for event in reply.text.removesuffix("\n\n").split("\n\n")]
    return [(lines[:3], json.loads(lines[3].removeprefix("data:"))) for lines in split]


def datas(reply):
    return [data for _, data in events(reply)]


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "text/event-stream"},
        {"Accept": "application/json, text/event-stream;q=0.9"},
        {"X-DashScope-SSE": "enable"},
        {"X-DashScope-SSE": "ENABLE", "Accept": "*/*"},
    ],
)
def test_either_header_turns_events_on(gateway, headers):
    """Accept or X-DashScope-SSE, as the vendor page says; the frames are the service's."""
    reply = post(gateway(Answer("你好", pieces=("你", "好"))), talk(), headers=headers)

    assert reply.headers["content-type"] == "text/event-stream;charset=UTF-8"
    assert [lines for lines, _ in events(reply)] == [
        [f"id:{n}", "event:result", ":HTTP_STATUS/200"] for n in (1, 2, 3)
    ]


@pytest.mark.parametrize("headers", [{}, {"X-DashScope-SSE": "disable"}, {"Accept": "*/*"}])
def test_without_them_the_answer_is_json(gateway, headers):
    """One body, with the text shape by default."""
    reply = post(gateway(Answer("ok", usage=USAGE)), talk(), headers=headers)

    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == {
        "output": {"finish_reason": "stop", "text": "ok"},
        "usage": COUNTS,
        "request_id": reply.headers["x-request-id"],
    }


def test_a_stream_repeats_the_text_so_far_unless_pieces_are_asked_for(gateway):
    """incremental_output chooses; "null" stands while the model still writes."""
    engine = gateway(Answer(pieces=("你", "好")))

    whole = datas(post(engine, talk(), headers=SSE))
    pieces = datas(post(engine, talk(incremental_output=True), headers=SSE))

    assert [data["output"] for data in whole] == [
        {"finish_reason": "null", "text": "你"},
        {"finish_reason": "null", "text": "你好"},
        {"finish_reason": "stop", "text": "你好"},
    ]
    assert [data["output"]["text"] for data in pieces] == ["你", "好", ""]


@pytest.mark.parametrize("form", ["text", "message"])
def test_every_event_carries_the_usage_so_far_and_one_request_id(gateway, form):
    """The last counts are those of the whole answer, and there is no [DONE]."""
    engine = gateway(Answer("some words of an answer", usage=USAGE))

    reply = post(engine, talk(result_format=form, incremental_output=True), headers=SSE)

    assert [data["usage"] for data in datas(reply)] == [COUNTS] * len(datas(reply))
    assert {data["request_id"] for data in datas(reply)} == {reply.headers["x-request-id"]}
    assert "[DONE]" not in reply.text


def test_usage_grows_with_the_answer(gateway):
    """Counts that an engine gives in between are in the event of their piece."""
    engine = gateway(Answer("never"))

    async def counted(request):
        for tokens in (1, 2):
            yield piece(tokens)
        yield piece(2, last=True)

    engine.generate = counted
    events_data = datas(post(engine, talk(), headers=SSE))

    assert [data["usage"]["output_tokens"] for data in events_data] == [1, 2, 2]


def piece(tokens, *, last=False):
    usage = Usage(input_tokens=5, output_tokens=tokens, total_tokens=5 + tokens)
    return Delta(text="" if last else "x", usage=usage, last=last, finish_reason=None)


def test_messages_and_thoughts_of_a_stream(gateway):
    """reasoning_content comes first, content is "" meanwhile."""
    engine = gateway(Answer("ok", reasoning="hm", usage=USAGE))
    body = talk("glm-5", result_format="message", incremental_output=True, enable_thinking=True)

    first, second, last = (
        data["output"]["choices"][0] for data in datas(post(engine, body, headers=SSE))
    )

    assert first == {
        "finish_reason": "null",
        "message": {"role": "assistant", "content": "", "reasoning_content": "hm"},
    }
    assert second["message"] == {"role": "assistant", "content": "ok"}
    assert last["finish_reason"] == "stop"


def test_tool_calls_in_pieces(gateway):
    """The first piece of a call names it, the later ones only go on; the reason says so."""
    calls = (ToolCall("c1", "add", '{"a":', 0), ToolCall("", "", " 1}", 0))
    tools = [{"type": "function", "function": {"name": "add"}}]
    body = talk("glm-5", incremental_output=True, tools=tools)

    choices = [
        data["output"]["choices"][0]
        for data in datas(post(gateway(Answer(tool_calls=calls)), body, headers=SSE))
    ]

    assert [choice["message"].get("tool_calls") for choice in choices] == [
        [
            {
                "index": 0,
                "id": "c1",
                "type": "function",
                "function": {"name": "add", "arguments": '{"a":'},
            }
        ],
        [{"index": 0, "id": "", "type": "function", "function": {"arguments": " 1}"}}],
        None,
    ]
    assert choices[-1]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("stream", [False, True])
def test_the_multimodal_endpoint_takes_and_gives_parts_of_text(gateway, stream):
    """Same envelope, lists of parts."""
    body = talk("qwen3.6-27b", [{"text": "Hello, "}, {"text": "you"}], enable_thinking=False)
    engine = gateway(Answer("ok"))

    reply = post(engine, body, path=MULTIMODAL, headers=SSE if stream else {})

    data = datas(reply)[0] if stream else reply.json()
    assert data["output"]["choices"][0]["message"] == {
        "role": "assistant",
        "content": [{"text": "ok"}],
    }


def test_details_of_usage(gateway):
    """Cached and reasoning tokens stand where the service puts them."""
    usage = replace(USAGE, cached_tokens=3, reasoning_tokens=4)

    written = post(gateway(Answer("ok", usage=usage)), talk()).json()["usage"]

    assert written["prompt_tokens_details"] == {"cached_tokens": 3}
    assert written["output_tokens_details"] == {"reasoning_tokens": 4}


def test_an_error_in_the_middle_of_a_stream(gateway):
    """It is the next event, with its own status and the stream's id."""
    engine = gateway(Fault(500, "InternalError", "broken", after=2))

    reply = post(engine, talk(), headers=SSE)

    lines, data = events(reply)[-1]
    assert lines == ["id:3", "event:error", ":HTTP_STATUS/500"]
    assert data == {
        "code": "InternalError",
        "message": "broken",
        "request_id": reply.headers["x-request-id"],
    }


@pytest.mark.parametrize("accept", [b"*/*", b"text/event-stream"])
async def test_logs_can_see_the_true_status(accept):
    """Status and code of a refusal, also where HTTP says 200; nobody's request id is lost."""
    sent = []

    async def send(event):
        sent.append(event)

    scope = {"method": "POST", "path": "/", "query_string": b"", "headers": [(b"accept", accept)]}
    request = HttpRequest(scope, None)
    response = HttpResponse(request, send)
    response.errors_as_events = request.wants_stream
    await response.send_error(APIError(429, "Throttling.RateQuota", "later"))

    assert (response.status, response.code) == (429, "Throttling.RateQuota")
    assert sent[0]["status"] == (429 if accept == b"*/*" else 200)
    assert request.request_id.encode() in sent[1]["body"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_ends_without_a_last_piece_is_a_failure(gateway, stream):
    """What was cut short never looks whole."""
    engine = gateway(Answer("never"))

    async def half(request):
        yield piece(1)

    engine.generate = half
    reply = post(engine, talk(), headers=SSE if stream else {})

    assert "The engine broke off its answer." in reply.text
    assert (events(reply)[-1][0][1] == "event:error") if stream else (reply.status_code == 500)


def test_ziya_repeats_the_prompt_as_on_the_vendors_page(gateway):
    """Its marks get a space behind them, and the whole is closed."""
    reply = post(gateway(Answer("好的,以下是")), prompt())

    assert reply.json()["output"]["text"] == (
        "<s><human> :帮我写一份去西安的旅游计划\n<bot> : 好的,以下是</s>"
    )


@pytest.mark.parametrize("incremental", [False, True])
def test_a_streams_echo_is_in_its_first_event(gateway, incremental):
    """And in every later one where events hold the text so far."""
    engine = gateway(Answer(pieces=("好", "的")))

    events_data = datas(post(engine, prompt(incremental_output=incremental), headers=SSE))

    echo = "<s><human> :帮我写一份去西安的旅游计划\n<bot> : "
    assert [data["output"]["text"] for data in events_data] == (
        [echo + "好", "的", "</s>"]
        if incremental
        else [echo + "好", echo + "好的", echo + "好的</s>"]
    )


def test_an_answer_that_hit_its_limit_is_not_closed(gateway):
    """The end mark is the model's own last token."""
    reply = post(gateway(Answer("好", finish_reason="length")), prompt())

    assert reply.json()["output"]["text"].endswith("好")


def test_a_base_model_repeats_the_prompt_as_a_line():
    """Baichuan's sample; a conversation has no echo."""
    model_info = find_model("baichuan-7b-v1")

    assert echo_around(EngineRequest(model_info=model_info, prompt="登鹳雀楼->")) == (
        "登鹳雀楼->\n",
        "",
    )
    assert echo_around(EngineRequest(model_info=model_info, messages=())) == ("", "")


@pytest.mark.parametrize("model", UNCOUNTED)
@pytest.mark.parametrize("stream", [False, True])
def test_no_usage_for_models_that_never_reported_it(gateway, model, stream):
    """The key is missing, as in the pages' HTTP samples."""
    reply = post(gateway(Answer("ok", usage=USAGE)), prompt(model), headers=SSE if stream else {})

    assert "usage" not in reply.text


@pytest.mark.parametrize("stream", [False, True])
def test_our_own_client_takes_the_echo_off(gateway, stream):
    """What the gateway adds, the client removes; the reply as it came is kept."""
    engine = gateway(Answer("好的"))
    request = completion_request(find_model("ziya-llama-13b-v1"), PROMPT, stream=stream)

    with Client(Endpoint.resolve(base_url=engine.base_url)) as client:
        reply = join_deltas(list(client.stream(request))) if stream else client.send(request)

    assert reply.text == "好的"
    assert reply.usage is None


class Modern(ScriptedEngine):
    """Every model without its early habits."""

    def find_model(self, model):
        model_info = super().find_model(model)
        return model_info and modernize(model_info)


@pytest.mark.parametrize("model", UNCOUNTED)
@pytest.mark.parametrize("all_of_them", [False, True])
def test_modern_models_report_usage_and_do_not_repeat_the_prompt(model, all_of_them):
    """An engine's record switches both off for one model, the gateway for all."""
    engine = (ScriptedEngine if all_of_them else Modern)([Answer("ok", usage=USAGE)])
    with serve_in_thread(Gateway(engine, modern=all_of_them)) as engine.base_url:
        data = post(engine, prompt(model)).json()

    assert data["output"]["text"] == "ok"
    assert data["usage"] == COUNTS


def test_lists_its_models_with_the_weights_that_answer(gateway):
    """GET /models pages through them; one can be asked for."""
    engine = gateway()

    def listed(query):
        return httpx.get(f"{engine.base_url}/models?{query}", verify=False)

    page = listed("page_no=2&page_size=3").json()["output"]
    one = listed("model=ziya-llama-13b-v1").json()["output"]

    assert (page["page_no"], len(page["models"])) == (2, 3)
    assert one["total_count"] == 1
    assert one["models"][0]["served_by"] == "none (scripted)"
    for page_no in ("x", "0", "9" * 5000):
        assert listed(f"page_no={page_no}").status_code == 400


def test_a_prompt_with_a_history_is_a_conversation_to_a_model_that_takes_both():
    """``input.history``, as the vendor's SDK sends it."""
    data = {"prompt": "and now?", "history": [{"user": "a", "bot": "b"}]}
    request = parse_request(
        json.dumps({"model": "llama2-7b-chat-v2", "input": data}).encode(),
        endpoint="text-generation",
        stream=False,
        request_id="r",
        find_model=known_model,
    )
    assert [message.content for message in request.messages] == ["a", "b", "and now?"]
    assert request.prompt is None
