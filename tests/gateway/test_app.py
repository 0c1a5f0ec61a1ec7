"""The gateway over real sockets: what it accepts, what it refuses, that it lives on."""

import json
import threading

import httpx
import pytest

from dashscope_oss import (
    Client,
    Endpoint,
    Message,
    Options,
    RateLimitError,
    ToolCall,
    chat,
    find_model,
)
from dashscope_oss.errors import ConfigurationError
from dashscope_oss.gateway import Answer, Fault, Gateway, ScriptedEngine, bound, serving
from dashscope_oss.reply import joined

PATH = "/services/aigc/text-generation/generation"
BODY = {"model": "llama3-8b-instruct", "input": {"messages": [{"role": "user", "content": "hi"}]}}


def post(engine, body, *, path=PATH, headers=None, **more):
    content = body if isinstance(body, bytes) else json.dumps({**body, **more}).encode()
    return httpx.post(engine.base_url + path, content=content, headers=headers or {})


def test_a_call_without_parameters_or_key_in_any_order(gateway):
    """Key order, escapes, charset and missing parameters do not matter."""
    engine = gateway(Answer("ok"))
    turned = dict(reversed(BODY.items()))

    reply = post(
        engine, turned, headers={"Accept": "*/*", "Content-Type": "application/json; charset=utf-8"}
    )

    assert reply.status_code == 200
    assert reply.json()["output"] == {"finish_reason": "stop", "text": "ok"}
    assert reply.json()["request_id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize(
    "headers", [{"Accept": "text/event-stream"}, {"X-DashScope-SSE": "enable"}]
)
def test_either_header_turns_events_on(gateway, headers):
    """Accept or X-DashScope-SSE, as the vendor page says; the frames are the service's."""
    engine = gateway(Answer("你好", pieces=("你", "好")))

    reply = post(engine, BODY, headers=headers)

    assert reply.headers["content-type"] == "text/event-stream;charset=UTF-8"
    events = reply.text.strip().split("\n\n")
    assert [event.split("\n")[:3] for event in events] == [
        [f"id:{n}", "event:result", ":HTTP_STATUS/200"] for n in (1, 2, 3)
    ]
    datas = [json.loads(event.split("\n")[3].removeprefix("data:")) for event in events]
    assert [data["output"] for data in datas] == [
        {"finish_reason": "null", "text": "你"},
        {"finish_reason": "null", "text": "你好"},
        {"finish_reason": "stop", "text": "你好"},
    ]


def test_the_first_event_arrives_before_the_last_is_sent(gateway):
    """Events leave as they are produced."""
    hold = threading.Event()
    engine = gateway(Answer(pieces=("one ", "two"), hold=hold))
    record = find_model("llama3-8b-instruct")

    with Client(Endpoint.resolve(base_url=engine.base_url)) as client:
        deltas = client.stream(chat(record, [Message("user", "hi")], stream=True))
        first = next(deltas)
        assert not hold.is_set()
        hold.set()
        rest = "".join(delta.text for delta in deltas)

    assert (first.text, rest) == ("one ", "two")


def test_no_usage_for_models_that_never_reported_it(gateway):
    """Ziya's reply has no usage key; Llama 3's has the engine's counts."""
    engine = gateway(Answer("ok"))

    ziya = post(engine, {"model": "ziya-llama-13b-v1", "input": {"prompt": "<human>:hi\n<bot>:"}})
    llama = post(engine, BODY)

    assert "usage" not in ziya.json()
    assert llama.json()["usage"]["input_tokens"] > 0


def refused(code, text, status=400):
    return status, code, text


INVALID = "InvalidParameter"
MESSAGES = BODY["input"]["messages"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", refused(INVALID, "Required body invalid")),
        (b"[]", refused(INVALID, "Required body invalid")),
        ({}, refused("BadRequest.EmptyModel", 'Required parameter "model" missing')),
        ({"model": "gpt-4", "input": {}}, refused("ModelNotFound", "Model can not be found.", 404)),
        ({"model": "llama3-8b-instruct"}, refused(INVALID, 'Either "prompt" or "messages"')),
        (
            {"model": "llama3-8b-instruct", "input": 3},
            refused(INVALID, "Required parameter(input)"),
        ),
        (
            {"model": "llama3-8b-instruct", "input": {"messages": []}},
            refused(INVALID, "[] is too short"),
        ),
        (
            {"model": "llama2-7b-chat-v2", "input": {"prompt": "hi", "messages": []}},
            refused(INVALID, "Role must be user or assistant and Content length"),
        ),
        (
            {"model": "llama2-7b-chat-v2", "input": {"prompt": "hi", "messages": MESSAGES}},
            refused(INVALID, 'Only one of the parameters "prompt" and "messages"'),
        ),
        (
            {"model": "llama3-8b-instruct", "input": {"prompt": "hi"}},
            refused(INVALID, "only supports messages"),
        ),
        (
            {"model": "belle-llama-13b-2m-v1", "input": {"messages": MESSAGES}},
            refused(INVALID, "only supports prompt"),
        ),
        (
            {"model": "llama2-7b-chat-v2", "input": {"prompt": " "}},
            refused(INVALID, "Range of input"),
        ),
        ({"model": "llama2-7b-chat-v2", "input": {"prompt": 1}}, refused(INVALID, "valid string")),
        (
            {"model": "llama3-8b-instruct", "input": {"messages": ["hi"]}},
            refused(INVALID, "Input should be a valid dictionary"),
        ),
        (
            {"model": "llama3-8b-instruct", "input": {"messages": "hi"}},
            refused(INVALID, "Input should be a valid list"),
        ),
        (
            {
                "model": "llama3-8b-instruct",
                "input": {"messages": [{"role": "bot", "content": "x"}]},
            },
            refused(INVALID, "Role must be user or assistant"),
        ),
        (
            {
                "model": "llama3-8b-instruct",
                "input": {"messages": [{"role": "user", "content": ""}]},
            },
            refused(INVALID, "Role must be user or assistant"),
        ),
        (
            {
                "model": "llama3-8b-instruct",
                "input": {"messages": [{"role": "system", "content": "x"}]},
            },
            refused(INVALID, "Role must be user or assistant"),
        ),
        (
            {"model": "llama3-8b-instruct", "input": {"messages": [{"role": "user"}]}},
            refused(INVALID, "The content field is a required field."),
        ),
        (
            {
                "model": "llama3-8b-instruct",
                "input": {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
            },
            refused(INVALID, "input content must be a string."),
        ),
        (
            {
                "model": "deepseek-v4-pro",
                "input": {
                    "messages": [
                        *MESSAGES,
                        {"role": "tool", "content": "3", "tool_call_id": "nobody"},
                    ]
                },
            },
            refused(INVALID, 'Messages with role "tool" must be a response'),
        ),
        (
            {"model": "ziya-llama-13b-v1", "input": {"prompt": "字" * 3000}},
            refused(INVALID, "Range of input length should be [1, 2048]"),
        ),
        (
            {"model": "ziya-llama-13b-v1", "input": {"prompt": "a", "history": [{"bot": None}]}},
            refused(INVALID, "input.history"),
        ),
        (
            {
                "model": "deepseek-v4-pro",
                "input": {
                    "messages": [*MESSAGES, {"role": "assistant", "content": "x", "partial": True}]
                },
            },
            refused(INVALID, "Partial mode"),
        ),
        ({**BODY, "model": "qwen3.6-27b"}, refused(INVALID, "url error, please check url！")),
    ],
)
def test_refuses_what_the_service_refuses(gateway, body, expected):
    """Status, code and text are the vendor's."""
    engine = gateway(Answer("never"))

    reply = post(engine, body)

    status, code, text = expected
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert text in reply.json()["message"]
    assert reply.json()["request_id"]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"temperature": 2}, "Temperature should be in [0.0, 2.0)"),
        ({"temperature": "hot"}, "Temperature should be in"),
        ({"top_p": 0}, "Range of top_p should be (0.0, 1.0]"),
        ({"top_k": -1}, "Parameter top_k be greater than or equal to 0"),
        ({"repetition_penalty": 0}, "Repetition_penalty should be greater than 0.0"),
        ({"presence_penalty": 3}, "Presence_penalty should be in [-2.0, 2.0]"),
        ({"n": 9}, "Range of n should be [1, 4]"),
        ({"n": 2}, "one answer a call"),
        ({"max_tokens": 10**400}, "Range of max_tokens"),
        ({"tools": 5}, "valid list: parameters.tools"),
        ({"incremental_output": "no"}, "valid boolean: parameters.incremental_output"),
        ({"logprobs": True}, "logprobs is not supported"),
        ({"seed": -1}, "Range of seed should be [0, 9223372036854775807]"),
        ({"max_tokens": 0}, "Range of max_tokens should be [1, "),
        ({"max_tokens": 1501}, "Range of max_tokens should be [1, 1500]"),
        ({"stop": [1, "a"]}, 'The "stop" parameter must be of type'),
        ({"result_format": "xml"}, "Required parameter(result_format)"),
        ({"tools": [{"type": "function"}]}, "The tool call is not supported."),
        ({"enable_thinking": True}, "does not support enable_thinking"),
    ],
)
def test_refuses_parameters_out_of_range(gateway, parameters, text):
    """Each parameter has the vendor's own text."""
    reply = post(gateway(Answer("never")), BODY, parameters=parameters)

    assert reply.status_code == 400
    assert text in reply.json()["message"]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"incremental_output": False}, "cannot be set to False"),
        ({"enable_thinking": True}, "must be set to false for non-streaming calls"),
    ],
)
def test_refuses_what_a_hosted_model_refuses(gateway, parameters, text):
    """Multimodal endpoint, forced increments, thinking only in streams."""
    body = {
        "model": "qwen3.6-27b",
        "input": {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
        "parameters": parameters,
    }

    reply = post(gateway(Answer("never")), body, path=PATH.replace("text-", "multimodal-"))

    assert text in reply.json()["message"]


def test_other_paths_methods_and_modes(gateway):
    """A wrong path is a 404, a wrong method and the async mode are the vendor's refusals."""
    engine = gateway(Answer("never"))

    assert httpx.get(engine.base_url + "/nowhere").status_code == 404
    assert "not supported" in httpx.get(engine.base_url + PATH).json()["message"]
    queued = post(engine, BODY, headers={"X-DashScope-Async": "enable"})
    assert (queued.status_code, queued.json()["code"]) == (403, "AccessDenied")


def test_lists_its_models_with_the_weights_that_answer(gateway):
    """GET /models pages through them; one can be asked for."""
    engine = gateway()

    page = httpx.get(engine.base_url + "/models?page_no=2&page_size=3").json()["output"]
    one = httpx.get(engine.base_url + "/models?model=ziya-llama-13b-v1").json()["output"]

    assert (page["page_no"], len(page["models"])) == (2, 3)
    assert one["total_count"] == 1
    assert one["models"][0]["served_by"] == "none (scripted)"
    for page_no in ("x", "0", "9" * 5000):
        assert httpx.get(f"{engine.base_url}/models?page_no={page_no}").status_code == 400


def test_asks_for_its_key_if_it_has_one():
    """A gateway with a key refuses others with the vendor's error."""
    with serving(Gateway(ScriptedEngine(), api_keys=("sk-right",))) as url:
        wrong = httpx.post(url + PATH, json=BODY, headers={"Authorization": "Bearer sk-wrong"})
        right = httpx.post(url + PATH, json=BODY, headers={"Authorization": "Bearer sk-right"})

    assert (wrong.status_code, wrong.json()["code"]) == (401, "InvalidApiKey")
    assert right.status_code == 200


def test_lives_on_after_bad_requests_and_broken_engines(gateway):
    """An engine's bug is a 500 with the vendor's body; the next call is answered."""

    def broken(job):
        raise RuntimeError("a bug")

    engine = gateway(broken, Fault(cut=True), Answer("alive"))

    assert post(engine, BODY).json()["code"] == "InternalError"
    with pytest.raises(httpx.RemoteProtocolError):
        post(engine, BODY)
    assert post(engine, BODY).json()["output"]["text"] == "alive"


def test_stops_the_engine_when_the_caller_leaves(gateway):
    """A closed connection ends the generation."""
    left = threading.Event()
    engine = gateway(Answer(pieces=("one ", "two ", *("more ",) * 400), pause=0.05))
    generate = engine.generate

    async def watched(job):
        try:
            async for delta in generate(job):
                yield delta
        finally:
            left.set()

    engine.generate = watched
    record = find_model("llama3-8b-instruct")
    with Client(Endpoint.resolve(base_url=engine.base_url)) as client:
        deltas = client.stream(chat(record, [Message("user", "hi")], stream=True))
        next(deltas)
        deltas.close()

        assert left.wait(10)


def test_a_port_in_use_is_said_so():
    """The error names the port and the way out."""
    with bound("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        taken = serving(Gateway(ScriptedEngine()), port=port)
        with pytest.raises(ConfigurationError, match=f"port {port} .* --port 0"), taken:
            pass


def test_a_fault_carries_through_to_the_client(gateway):
    """The scripted fault arrives as this package's error."""
    engine = gateway(Fault())
    record = find_model("llama3-8b-instruct")

    with (
        Client(Endpoint.resolve(base_url=engine.base_url), max_retries=0) as client,
        pytest.raises(RateLimitError, match=r"Throttling\.RateQuota"),
    ):
        client.send(chat(record, [Message("user", "hi")]))


def test_tool_calls_without_a_number_are_numbered_over_the_whole_stream(gateway):
    """Two calls stay two calls."""
    calls = (ToolCall("c1", "a", "{}"), ToolCall("c2", "b", "{}"))
    engine = gateway(Answer(tool_calls=calls))
    record = find_model("deepseek-v4-pro")
    tools = [{"type": "function", "function": {"name": "a"}}]
    options = Options(tools=tools, enable_thinking=False)

    with Client(Endpoint.resolve(base_url=engine.base_url)) as client:
        request = chat(record, [Message("user", "hi")], options, stream=True)
        reply = joined(list(client.stream(request)))

    assert [(call.id, call.index) for call in reply.tool_calls] == [("c1", 0), ("c2", 1)]


def test_json_while_thinking_is_refused_as_the_service_does(gateway):
    """The pair of response_format and thinking."""
    body = {
        "model": "glm-5",
        "input": BODY["input"],
        "parameters": {"enable_thinking": True, "response_format": {"type": "json_object"}},
    }

    reply = post(gateway(Answer("never")), body, headers={"X-DashScope-SSE": "enable"})

    assert "Json mode response is not supported" in reply.text
