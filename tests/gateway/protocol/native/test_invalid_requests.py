"""What the service refuses is refused with its status, code and text, for plain calls and streams.

The cases are those of the vendor's error page that a text model can meet. What depends on an
account (workspaces, quotas, faults of the service) is played by the scripted engine.
"""

import json

import httpx
import pytest

from dashscope_oss import (
    AsyncClient,
    Client,
    ClientOptions,
    Endpoint,
    Message,
    Options,
    chat_request,
    find_model,
)
from dashscope_oss.errors import RateLimitError
from dashscope_oss.gateway import Answer, Fault, Gateway, ScriptedEngine, serve_in_thread

TEXT = "/services/aigc/text-generation/generation"
MULTIMODAL = TEXT.replace("text-", "multimodal-")
SSE = {"X-DashScope-SSE": "enable"}
INVALID = "InvalidParameter"
USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {}}}
STOP = (
    'The "stop" parameter must be of type "str", "list[str]", "list[int]", or "list[list[int]]", '
    "and all elements within the list must be of the same type."
)
EMPTY = "Role must be user or assistant and Content length must be greater than 0."


def call(*messages, model="llama3-8b-instruct", **parameters):
    return {
        "model": model,
        "input": {"messages": list(messages) or [USER]},
        "parameters": parameters,
    }


def with_input(input, model="llama2-7b-chat-v2"):
    return {"model": model, "input": input}


def thinking_call(*messages, model="glm-5", **parameters):
    usual = {"enable_thinking": True, "incremental_output": True, "result_format": "message"}
    return call(*messages, model=model, **{**usual, **parameters})


INVALID_REQUESTS = {
    # Name: body, text, and where they are others: code, status.
    "body not JSON": (b"{", "Required body invalid, please check the request body format."),
    "body no object": (b"[]", "Required body invalid, please check the request body format."),
    "body no UTF-8": (b'{"model": "\xff"}', "Required body invalid"),
    "body a number that is none": (b'{"model": "a", "x": NaN}', "Required body invalid"),
    "lone surrogate": (b'{"model": "\\ud800"}', "Required body invalid"),
    "nested too deeply": (b"[" * 5_000 + b"]" * 5_000, "Required body invalid"),
    "no model": ({}, 'Required parameter "model" missing', "BadRequest.EmptyModel"),
    "model no text": ({"model": 3}, 'Required parameter "model"', "BadRequest.EmptyModel"),
    "unknown model": ({"model": "gpt-4"}, "Model can not be found.", "ModelNotFound", 404),
    "wrong endpoint": (call(model="qwen3.6-27b"), "url error, please check url！"),
    "neither prompt nor messages": (
        with_input({}),
        'Either "prompt" or "messages" must exist and cannot both be none',
    ),
    "messages outside input": (
        {"model": "llama3-8b-instruct", "messages": [USER]},
        'Either "prompt" or "messages" must exist and cannot both be none',
    ),
    "both": (
        with_input({"prompt": "a", "messages": [USER]}),
        'Only one of the parameters "prompt"',
    ),
    "input no object": (with_input(3), "Required parameter(input) missing or invalid"),
    "parameters no object": (
        {**call(), "parameters": []},
        "Required parameter(parameters) missing or invalid, please check the request parameters.",
    ),
    "messages empty": (with_input({"messages": []}), "[] is too short"),
    "messages empty beside a prompt": (with_input({"prompt": "hi", "messages": []}), EMPTY[:-1]),
    "messages no list": (with_input({"messages": "hi"}), "Input should be a valid list"),
    "message no object": (
        call("hi"),
        "Input should be a valid dictionary or instance of GPT3Message",
    ),
    "bad role": (call({"role": "bot", "content": "x"}), EMPTY),
    "role no text": (call({"role": ["user"], "content": "x"}), EMPTY),
    "empty content": (call({"role": "user", "content": ""}), EMPTY),
    "system message alone": (call({"role": "system", "content": "x"}), EMPTY),
    "content missing": (call({"role": "user"}), "The content field is a required field."),
    "content null": (
        call({"role": "user", "content": None}),
        "The content field is a required field.",
    ),
    "content with an image": (
        call({"role": "user", "content": [{"image": "http://x/a.png"}]}),
        "input content must be a string.",
    ),
    "prompt no text": (with_input({"prompt": 1}), "Input should be a valid string: input.prompt"),
    "prompt empty": (with_input({"prompt": " "}), "Range of input length should be [1, 2048]"),
    "prompt to a model of messages": (
        with_input({"prompt": "hi"}, "llama3-8b-instruct"),
        "only supports messages input",
    ),
    "messages to a model of prompts": (
        call(model="belle-llama-13b-2m-v1"),
        "only supports prompt input",
    ),
    "history malformed": (
        with_input({"prompt": "a", "history": [{"bot": None}]}),
        "Input should be a list of",
    ),
    "too long": (
        with_input({"prompt": "字" * 3000}, "ziya-llama-13b-v1"),
        "Range of input length should be [1, 2048]",
    ),
    "temperature": (call(temperature=2), "Temperature should be in [0.0, 2.0)"),
    "temperature no number": (call(temperature="hot"), "'temperature' must be Float"),
    "temperature a switch": (call(temperature=True), "'temperature' must be Float"),
    "top_p": (call(top_p=0), "Range of top_p should be (0.0, 1.0]"),
    "top_p no number": (call(top_p=[1]), "'top_p' must be Float"),
    "top_k": (call(top_k=-1), "Parameter top_k be greater than or equal to 0"),
    "repetition_penalty": (
        call(repetition_penalty=0),
        "Repetition_penalty should be greater than 0.0",
    ),
    "presence_penalty": (call(presence_penalty=3), "Presence_penalty should be in [-2.0, 2.0]"),
    "n": (call(n=9), "Range of n should be [1, 4]"),
    "n beyond this gateway": (call(n=2), "Range of n should be [1, 1]"),
    "seed": (call(seed=-1), "Range of seed should be [0, 9223372036854775807]"),
    "max_tokens": (call(max_tokens=0), "Range of max_tokens should be [1, "),
    "max_tokens of the model": (call(max_tokens=1501), "Range of max_tokens should be [1, 1500]"),
    "max_tokens beyond measure": (call(max_tokens=10**400), "Range of max_tokens"),
    "max_completion_tokens": (call(max_completion_tokens="1"), "Range of max_completion_tokens"),
    "thinking_budget": (call(thinking_budget=0), "thinking_budget should be greater than 0"),
    "reasoning_effort": (call(reasoning_effort=1), "valid string: parameters.reasoning_effort"),
    "stop": (call(stop=[1, "a"]), STOP),
    "stop a number": (call(stop=1), STOP),
    "stop of switches": (call(stop=[True]), STOP),
    "stop of fractions": (call(stop=[1.5]), STOP),
    "stop of lists of texts": (call(stop=[["a"]]), STOP),
    "stop of lists of switches": (call(stop=[[1], [True]]), STOP),
    "stop of lists in lists": (call(stop=[[[1]]]), STOP),
    "result_format": (call(result_format="xml"), "Required parameter(result_format) missing"),
    "incremental_output no switch": (
        call(incremental_output="no"),
        "valid boolean: parameters.incremental_output",
    ),
    "incremental_output": (call(incremental_output=True), "only support stream call"),
    "tools on a model without": (call(tools=[TOOL]), "The tool call is not supported."),
    "tools no list": (call(model="glm-5", tools=5), "valid list: parameters.tools"),
    "tool malformed": (call(model="glm-5", tools=[{}]), '"function": {"name": str}}'),
    "tool message without call": (
        call(USER, {"role": "tool", "content": "3", "tool_call_id": "nobody"}, model="glm-5"),
        'Messages with role "tool" must be a response to a preceding message with "tool_calls"',
    ),
    "tool_calls no list": (
        call(USER, {"role": "assistant", "tool_calls": {}}, model="glm-5"),
        "valid list: input.messages.tool_calls",
    ),
    "tool_call no object": (
        call(USER, {"role": "assistant", "tool_calls": ["add"]}, model="glm-5"),
        "valid dictionary: input.messages.tool_calls",
    ),
    "tool_calls malformed": (
        call(USER, {"role": "assistant", "tool_calls": [{"function": {}}]}, model="glm-5"),
        "valid string: input.messages.tool_calls",
    ),
    "tool_choice": (
        call(model="glm-5", tools=[TOOL], tool_choice="required"),
        'tool_choice is one of the strings that should be ["none", "auto"]',
    ),
    "tool_choice malformed": (
        call(model="glm-5", tools=[TOOL], tool_choice={"function": "add"}),
        'tool_choice is one of the strings that should be ["none", "auto"]',
    ),
    "json mode without the word": (
        call(model="glm-5", enable_thinking=False, response_format={"type": "json_object"}),
        "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
        "'json_object'.",
    ),
    "json mode while thinking": (
        thinking_call(response_format={"type": "json_object"}),
        "Json mode response is not supported when enable_thinking is true",
    ),
    "response_format unknown": (
        call(response_format={"type": "xml"}),
        "'response_format.type' Invalid value: 'xml'. Supported values are: 'json_object' and",
    ),
    "response_format no object": (call(response_format="json"), "parameters.response_format"),
    "enable_thinking no switch": (call(enable_thinking=1), "valid boolean"),
    "thinking on a model without": (
        call(enable_thinking=True),
        "does not support enable_thinking",
        "InvalidParameter.NotSupportEnableThinking",
    ),
    "always-thinking model turned off": (
        call(model="MiniMax-M2.5", enable_thinking=False),
        "The value of the enable_thinking parameter is restricted to True.",
    ),
}
INVALID_STREAMS = {
    "thinking without incremental_output": (
        thinking_call(incremental_output=False),
        'The incremental_output parameter must be "true" when enable_thinking is true',
    ),
    "thinking in text": (
        thinking_call(result_format="text"),
        'The result_format parameter must be "message" when enable_thinking is true',
    ),
}
INVALID_PLAIN_CALLS = {
    "thinking without a stream": (
        thinking_call(),
        "parameter.enable_thinking must be set to false for non-streaming calls",
    ),
    "model that only streams": (
        call(model="qwq-32b"),
        "This model only support stream mode, please enable the stream parameter to access the "
        "model.",
    ),
}
INVALID_MULTIMODAL = {
    "incremental_output false where it is forced": (
        {"incremental_output": False},
        "The incremental_output parameter of this model cannot be set to False.",
    ),
    "temperature": ({"temperature": 2}, "Temperature should be in [0.0, 2.0)"),
}
SCRIPTED_ERRORS = {
    "bad key of another region": (401, "InvalidApiKey", "Invalid API-key provided."),
    "no right to the workspace": (401, "NOT AUTHORIZED", "Access denied: Either you are not "),
    "workspace without the model": (403, "Model.AccessDenied", "Model access denied."),
    "workspace denied": (403, "Workspace.AccessDenied", "Workspace access denied."),
    "unknown workspace": (404, "WorkSpaceNotFound", "WorkSpace can not be found."),
    "too often": (429, "Throttling.RateQuota", "Requests rate limit exceeded, try again later."),
    "too sudden": (429, "Throttling.BurstRate", "Request rate increased too quickly."),
    "down": (503, "ModelUnavailable", "Model is unavailable, try again later."),
    "over 300 s": (500, "RequestTimeOut", "Request timed out, try again later."),
}


@pytest.fixture(scope="module")
def url():
    with serve_in_thread(Gateway(ScriptedEngine([Answer("an answer")]))) as url:
        yield url


def post(url, body, *, path=TEXT, headers=None):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(url + path, content=content, headers=headers or {}, verify=False)


def expected_error(body, text, code=INVALID, status=400):
    """A case of the tables: its body, the expected status and code, and the expected text."""
    return body, (status, code), text


def error_of(response):
    """The true status, code and text of the only event."""
    assert (response.status_code, response.headers["content-type"]) == (
        200,
        "text/event-stream;charset=UTF-8",
    )
    number, kind, status, data = response.text.removesuffix("\n\n").split("\n")
    assert (number, kind) == ("id:1", "event:error")
    body = json.loads(data.removeprefix("data:"))
    assert body["request_id"] == response.headers["x-request-id"]
    return (int(status.removeprefix(":HTTP_STATUS/")), body["code"]), body["message"]


def test_a_plain_call_is_refused_in_json(url, subtests):
    """The status is that of HTTP; the request's id stands in header and body."""
    for name, case in {**INVALID_REQUESTS, **INVALID_PLAIN_CALLS}.items():
        with subtests.test(name):
            body, expected, text = expected_error(*case)
            response = post(url, body)
            assert (response.status_code, response.json()["code"]) == expected
            assert text in response.json()["message"]
            assert response.json()["request_id"] == response.headers["x-request-id"]
            assert response.headers["content-type"] == "application/json"


OF_EACH_CHECK = (
    "body not JSON",
    "no model",
    "unknown model",
    "wrong endpoint",
    "both",
    "empty content",
    "prompt empty",
    "too long",
    "temperature",
    "tool_choice",
    "response_format unknown",
    "thinking on a model without",
)


def test_a_stream_is_refused_by_an_error_event(url, subtests):
    """HTTP says 200, the event's comment says the true status, as captures of the service do."""
    checks = {name: INVALID_REQUESTS[name] for name in OF_EACH_CHECK}
    for name, case in {**checks, **INVALID_STREAMS}.items():
        with subtests.test(name):
            body, expected, text = expected_error(*case)
            status_and_code, message = error_of(post(url, body, headers=SSE))
            assert status_and_code == expected
            assert text in message


@pytest.mark.parametrize("case", INVALID_MULTIMODAL.values(), ids=INVALID_MULTIMODAL.keys())
@pytest.mark.parametrize("stream", [False, True])
def test_the_multimodal_endpoint_refuses_alike(url, case, stream):
    """Content is a list of parts there; the checks are the same."""
    parameters, text = case
    parts = {"role": "user", "content": [{"text": "hi"}]}

    response = post(
        url,
        call(parts, model="qwen3.6-27b", **parameters),
        path=MULTIMODAL,
        headers=SSE if stream else {},
    )

    assert text in response.text.replace("\\", "")
    assert response.status_code == (200 if stream else 400)


def test_what_depends_on_an_account_is_played_by_the_scripted_engine(gateway, subtests):
    """Any status, code and text reaches the caller, of a plain call and of a stream."""
    for name, (status, code, message) in SCRIPTED_ERRORS.items():
        with subtests.test(name):
            engine = gateway(Fault(status, code, message))
            plain = post(engine.base_url, call())
            assert (plain.status_code, plain.json()["code"]) == (status, code)
            assert plain.json()["message"] == message
            streamed = post(engine.base_url, call(), headers=SSE)
            assert error_of(streamed) == ((status, code), message)


def front_call(url, case):
    post_to, headers = url + TEXT, {**SSE, "Authorization": "Bearer sk-right"}
    if case == "key":
        return httpx.post(post_to, json=call(), headers=SSE, verify=False)
    if case == "path":
        return httpx.post(url + "/nowhere", json=call(), headers=headers)
    if case == "method":
        return httpx.put(post_to, json=call(), headers=headers)
    return httpx.post(post_to, content=b" " * 33_000_000, headers=headers)


@pytest.mark.parametrize(
    ("case", "status", "code", "text"),
    [
        ("key", 401, "InvalidApiKey", "Invalid API-key provided."),
        ("path", 404, "NotFound", "Nothing is served at /api/v1/nowhere"),
        ("method", 400, INVALID, "Request method 'PUT' is not supported."),
        ("size", 400, "BadRequest.TooLarge", "Payload Too Large"),
    ],
)
def test_the_front_answers_with_the_true_status_even_for_a_stream(case, status, code, text):
    """Key, path, method and size are judged before anything asks whether a stream is wanted."""
    with serve_in_thread(Gateway(ScriptedEngine(), api_keys=("sk-right",))) as url:
        response = front_call(url, case)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert text in response.json()["message"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/chat/completions", "/v1/models"])
def test_a_client_of_openais_is_told_its_base_url(url, path):
    """People point what they have at any server of language models."""
    message = httpx.get(url.removesuffix("/api/v1") + path).json()["message"]

    assert message.endswith("The base_url for a client of OpenAI's ends in /compatible-mode/v1.")


@pytest.mark.parametrize("headers", [{}, SSE])
def test_the_asynchronous_mode_is_refused(url, headers):
    """Text generation knows no tasks."""
    response = post(url, call(), headers={**headers, "X-DashScope-Async": "enable"})

    assert "Current user api does not support asynchronous calls." in response.text
    assert '"AccessDenied"' in response.text
    assert response.status_code == (200 if headers else 403)


def test_a_parameter_that_is_null_counts_as_left_out(url):
    """Clients that send every field they know are not refused for it."""
    nulls = dict.fromkeys(("temperature", "stop", "tools", "enable_thinking", "n", "seed"))

    assert post(url, call(**nulls)).status_code == 200


def test_stop_takes_texts_and_ids_of_tokens(url):
    """One text, a list of either, or lists of ids."""
    for stop in ("a", [], ["a", "b"], [1, 2], [[1, 2], [3]]):
        assert post(url, call(stop=stop)).status_code == 200, stop


def test_unknown_parameters_are_let_through(url):
    """The service ignores what it does not know."""
    assert post(url, call(colour="green", deep={"a": [1]})).status_code == 200


def test_our_own_client_reads_a_refused_stream(gateway):
    """The error carries the true status of the comment, the code and the id."""
    engine = gateway(Fault())
    request = chat_request(find_model("llama3-8b-instruct"), [Message("user", "hi")], stream=True)

    with (
        Client(Endpoint.resolve(base_url=engine.base_url), ClientOptions(max_retries=0)) as client,
        pytest.raises(RateLimitError, match=r"Throttling\.RateQuota") as caught,
    ):
        list(client.stream(request))

    assert caught.value.status_code == 429
    assert caught.value.request_id


async def test_our_own_client_tries_a_refused_stream_again(gateway):
    """A first event that says "later" is no answer begun: the retry is answered."""
    engine = gateway(Fault(), Answer("ok"))
    model_info = find_model("llama3-8b-instruct")
    request = chat_request(model_info, [Message("user", "hi")], Options(), stream=True)

    async with AsyncClient(
        Endpoint.resolve(base_url=engine.base_url), ClientOptions(max_retries=1)
    ) as client:
        text = "".join([delta.text async for delta in client.stream(request)])

    assert text == "ok"
    assert len(engine.requests) == 2
