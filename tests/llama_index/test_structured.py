"""Objects from every kind of model: by a forced tool, in a JSON mode, in words with one repair."""

import copy
from dataclasses import replace

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel

from dashscope_oss import AuthenticationError, ToolCall, UnreadableAnswerError, find_model
from dashscope_oss.gateway import Answer, Fault


class Sum(BaseModel):
    """A sum."""

    a: int
    b: int


# LlamaIndex itself streams structured answers with a method that pydantic deprecates.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The `json` method is deprecated:pydantic.warnings.PydanticDeprecatedSince20"
)

PROMPT = PromptTemplate("One and {what}?")
RIGHT = Answer('Here it is:\n```json\n{"a": 1, "b": 2}\n```')
WRONG = Answer('{"a": "one"}')
CALL = Answer(tool_calls=(ToolCall(id="1", name="Sum", arguments='{"a": 1, "b": 2}', index=0),))


async def _adrained(start):
    return [part async for part in await start][-1]


def _raw(response):
    return response.raw


async def _araw(response):
    return (await response).raw


async def _alast(start):
    return (await _adrained(start)).raw


ASKED = [ChatMessage("One and two?")]
WAYS = {
    "predict": lambda llm: llm.structured_predict(Sum, PROMPT, what="two"),
    "apredict": lambda llm: llm.astructured_predict(Sum, PROMPT, what="two"),
    "stream": lambda llm: list(llm.stream_structured_predict(Sum, PROMPT, what="two"))[-1],
    "astream": lambda llm: _adrained(llm.astream_structured_predict(Sum, PROMPT, what="two")),
    "chat": lambda llm: _raw(llm.as_structured_llm(Sum).chat(ASKED)),
    "achat": lambda llm: _araw(llm.as_structured_llm(Sum).achat(ASKED)),
    "stream_chat": lambda llm: list(llm.as_structured_llm(Sum).stream_chat(ASKED))[-1].raw,
    "astream_chat": lambda llm: _alast(llm.as_structured_llm(Sum).astream_chat(ASKED)),
}


@pytest.fixture(params=WAYS)
def predict(request, run):
    """Each of the eight ways to ask for an object."""

    def call(llm):
        found = WAYS[request.param](llm)
        return run(llm, found) if request.param.startswith("a") else found

    return call


@pytest.mark.parametrize("model", ["ziya-llama-13b-v1", "llama3-8b-instruct"])
def test_a_model_without_tools_is_asked_in_words(make, predict, model):
    """Rows 29 and 35 of LlamaIndex: the schema stands in the prompt, the system prompt stays."""
    llm = make(model, RIGHT, system_prompt="Count well.")
    assert predict(llm) == Sum(a=1, b=2)
    sent = str(make.body["input"])
    assert "Count well." in sent
    assert '"a"' in sent
    assert "tools" not in make.body["parameters"]


@pytest.mark.parametrize("model", ["ziya-llama-13b-v1", "llama3-8b-instruct"])
def test_an_answer_that_cannot_be_read_is_asked_for_once_more(make, predict, model):
    """Row 35 of LlamaIndex: with what was wrong with it, and once only."""
    assert predict(make(model, WRONG, RIGHT)) == Sum(a=1, b=2)
    _, second = make.requests
    assert "cannot be used" in str(second.body["input"])
    with pytest.raises(ValueError, match="b"):
        predict(make(model, WRONG))
    assert len(make.requests) == 2


def test_an_answer_too_long_to_be_shown_again_is_the_error(make, predict):
    """Row 35: not that the question about it is."""
    said = "不" * 3000
    llm = make("ziya-llama-13b-v1", Answer(said), max_tokens=500)
    with pytest.raises(UnreadableAnswerError, match="is no Sum") as caught:
        predict(llm)
    assert len(make.requests) == 1
    assert len(str(caught.value)) < 4000
    assert caught.value.partial_text == said


def test_a_model_with_tools_is_made_to_call_one(make, predict):
    """Row 35 of LlamaIndex: the call is forced, and nothing is said of JSON."""
    assert predict(make("deepseek-v4-pro", CALL, system_prompt="Count well.")) == Sum(a=1, b=2)
    sent = make.body
    assert sent["parameters"]["tool_choice"]["function"]["name"] == "Sum"
    assert sent["parameters"]["enable_thinking"] is False
    assert "Count well." in str(sent["input"])


@pytest.mark.parametrize("settings", [{"model": "kimi-k2.7-code"}, {"enable_thinking": True}])
def test_a_model_that_thinks_is_asked_in_words(make, predict, settings):
    """Rows 35 and 36 of LlamaIndex: while it thinks, the service forces neither tool nor format."""
    llm = make(settings.get("model", "deepseek-v4-pro"), RIGHT, **_without_model(settings))
    assert predict(llm) == Sum(a=1, b=2)
    assert not {"tools", "response_format"} & set(make.body["parameters"])


def _without_model(settings):
    return {name: value for name, value in settings.items() if name != "model"}


@pytest.mark.parametrize("structured", ["json_object", "json_schema"])
def test_the_services_json_mode_is_used_where_there_is_one(make, predict, structured):
    """Row 35 of LlamaIndex: for a model with a JSON mode and no tools, or by choice."""
    model_info = replace(find_model("deepseek-v4-pro"), tools=False, structured=structured)
    assert predict(make("deepseek-v4-pro", RIGHT, model_info=model_info)) == Sum(a=1, b=2)
    parameters = make.body["parameters"]
    assert parameters["response_format"]["type"] == structured
    assert parameters["enable_thinking"] is False


def test_words_can_be_chosen(make, predict):
    """Row 35 of LlamaIndex: LlamaIndex's own setting."""
    llm = make("deepseek-v4-pro", RIGHT, pydantic_program_mode=PydanticProgramMode.LLM)
    assert predict(llm) == Sum(a=1, b=2)
    assert "tools" not in make.body["parameters"]


@pytest.mark.parametrize("model", ["ziya-llama-13b-v1", "deepseek-v4-pro"])
def test_an_expired_key_is_no_empty_object(make, predict, model):
    """Rows 7 and 35 of LlamaIndex: the cause is raised, on the first call."""
    with pytest.raises(AuthenticationError):
        predict(make(model, Fault(401, "InvalidApiKey", "Invalid API-key provided.")))
    assert len(make.requests) == 1


@pytest.mark.parametrize("model", ["ziya-llama-13b-v1", "deepseek-v4-pro"])
def test_one_start_and_one_end_event(make, predict, model, events):
    """Row 35 of LlamaIndex: in words as by a tool."""
    predict(make(model, CALL if model == "deepseek-v4-pro" else RIGHT))
    for name in ("LLMStructuredPredictStartEvent", "LLMStructuredPredictEndEvent"):
        assert [type(event).__name__ for event in events].count(name) == 1


class Kept(ChatPromptTemplate):
    """A prompt that hands over its own messages, not copies as LlamaIndex's do."""

    def format_messages(self, llm=None, **kwargs):
        return self.message_templates


@pytest.mark.parametrize("way", ["predict", "apredict", "stream", "astream"])
@pytest.mark.parametrize(
    ("model", "script"), [("ziya-llama-13b-v1", (WRONG, RIGHT)), ("deepseek-v4-pro", (CALL,))]
)
def test_the_messages_of_the_caller_stay_as_they_are(make, run, monkeypatch, way, model, script):
    """Row 35 of LlamaIndex: schema and second question go into copies, in words as by a tool."""
    asked = [ChatMessage("Count well.", role="system"), ChatMessage("One and two?")]
    before = copy.deepcopy(asked)
    monkeypatch.setitem(globals(), "PROMPT", Kept(asked))
    llm = make(model, *script)
    found = WAYS[way](llm)
    assert (run(llm, found) if way.startswith("a") else found) == Sum(a=1, b=2)
    assert asked == before


def test_the_prompt_of_the_caller_stays_as_it_is(make):
    """Row 35 of LlamaIndex: its own text program leaves a parser in it."""
    prompt = PromptTemplate("One and {what}?")
    make("ziya-llama-13b-v1", RIGHT).structured_predict(Sum, prompt, what="two")
    assert prompt.output_parser is None
