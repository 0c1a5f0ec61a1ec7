"""Objects from every kind of model: by a forced tool, in a JSON mode, in words with one repair."""

import copy
from dataclasses import replace

import pytest
from llama_index.core.llms import ChatMessage, MessageRole, TextBlock
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel

from dashscope_oss import (
    AuthenticationError,
    DashScopeWarning,
    ToolCall,
    UnreadableAnswerError,
    find_model,
)
from dashscope_oss.gateway import Answer
from tests.llama_index.examples import CHAT, EXPIRED, PROMPT_ONLY, WITH_TOOLS


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


async def last_of(stream):
    return [part async for part in await stream][-1]


async def raw_of(response):
    return (await response).raw


async def last_raw_of(stream):
    return (await last_of(stream)).raw


QUESTION = [ChatMessage("One and two?")]
PREDICTIONS = {
    "predict": lambda llm, prompt: llm.structured_predict(Sum, prompt, what="two"),
    "apredict": lambda llm, prompt: llm.astructured_predict(Sum, prompt, what="two"),
    "stream": lambda llm, prompt: list(llm.stream_structured_predict(Sum, prompt, what="two"))[-1],
    "astream": lambda llm, prompt: last_of(llm.astream_structured_predict(Sum, prompt, what="two")),
}
WAYS = {
    **PREDICTIONS,
    "chat": lambda llm, _: llm.as_structured_llm(Sum).chat(QUESTION).raw,
    "achat": lambda llm, _: raw_of(llm.as_structured_llm(Sum).achat(QUESTION)),
    "stream_chat": lambda llm, _: list(llm.as_structured_llm(Sum).stream_chat(QUESTION))[-1].raw,
    "astream_chat": lambda llm, _: last_raw_of(llm.as_structured_llm(Sum).astream_chat(QUESTION)),
}


@pytest.fixture(params=PREDICTIONS)
def predict(request, run):
    """Each way to ask for an object; those of ``as_structured_llm``, too, lead to these."""

    def call(llm, prompt=PROMPT):
        started = WAYS[request.param](llm, prompt)
        return run(llm, started) if request.param.startswith("a") else started

    return call


ALL_WAYS = pytest.mark.parametrize("predict", WAYS, indirect=True)


@ALL_WAYS
def test_a_model_without_tools_is_asked_in_words(make, predict):
    """The schema stands in the prompt, the system prompt stays."""
    for model in (PROMPT_ONLY, CHAT):
        assert predict(make(model, RIGHT, system_prompt="Count well.")) == Sum(a=1, b=2)
        sent = str(make.body["input"])
        assert "Count well." in sent
        assert '"a"' in sent
        assert "tools" not in make.body["parameters"]


def test_an_answer_that_cannot_be_read_is_asked_for_once_more(make, predict):
    """With what was wrong with it, and once only."""
    for model in (PROMPT_ONLY, CHAT):
        assert predict(make(model, WRONG, RIGHT)) == Sum(a=1, b=2)
        _, second = make.requests
        assert "cannot be used" in str(second.body["input"])
        with pytest.raises(ValueError, match="b"):
            predict(make(model, WRONG))
        assert len(make.requests) == 2


def test_an_answer_too_long_to_be_shown_again_is_the_error(make, predict):
    """Not that the question about it is."""
    answer = "不" * 3000
    llm = make(PROMPT_ONLY, Answer(answer), max_tokens=500)
    with pytest.raises(UnreadableAnswerError, match="is not a Sum") as caught:
        predict(llm)
    assert len(make.requests) == 1
    assert len(str(caught.value)) < 4000
    assert caught.value.partial_text == answer


@ALL_WAYS
def test_an_object_that_was_cut_off_is_an_error_that_says_so(make, predict):
    cut_off = Answer('{"a": 1, "b', finish_reason="length")
    error = pytest.raises(UnreadableAnswerError, match="so raise max_tokens")
    with pytest.warns(DashScopeWarning, match="cut off"), error:
        predict(make(PROMPT_ONLY, cut_off))


@ALL_WAYS
def test_a_model_with_tools_is_made_to_call_one(make, predict):
    """The call is forced, and nothing is said of JSON."""
    assert predict(make(WITH_TOOLS, CALL, system_prompt="Count well.")) == Sum(a=1, b=2)
    sent = make.body
    assert sent["parameters"]["tool_choice"]["function"]["name"] == "Sum"
    assert sent["parameters"]["enable_thinking"] is False
    assert "Count well." in str(sent["input"])


class Family(BaseModel):
    """A person with children."""

    name: str
    children: list["Family"] = []


def test_a_class_that_holds_itself_is_described_whole(make):
    """LlamaIndex leaves out what its schema refers to at the root."""
    arguments = '{"name": "Ada", "children": [{"name": "Byron"}]}'
    answer = Answer(tool_calls=(ToolCall(id="1", name="Family", arguments=arguments, index=0),))
    llm = make(WITH_TOOLS, answer)
    whole = Family(name="Ada", children=[Family(name="Byron")])
    assert llm.structured_predict(Family, PROMPT, what="two") == whole
    (tool,) = make.body["parameters"]["tools"]
    schema = Family.model_json_schema()
    described = {**schema["$defs"]["Family"], "$defs": schema["$defs"]}
    assert tool["function"]["parameters"] == described


def test_a_model_that_thinks_is_asked_in_words(make, predict):
    """While it thinks, the service forces neither tool nor format."""
    for llm in (
        lambda: make("kimi-k2.7-code", RIGHT),
        lambda: make(WITH_TOOLS, RIGHT, enable_thinking=True),
    ):
        assert predict(llm()) == Sum(a=1, b=2)
        assert not {"tools", "response_format"} & set(make.body["parameters"])


def test_the_services_json_mode_is_used_where_there_is_one(make, predict):
    """For a model with a JSON mode and no tools, or by choice."""
    for structured in ("json_object", "json_schema"):
        model_info = replace(find_model(WITH_TOOLS), tools=False, structured=structured)
        assert predict(make(WITH_TOOLS, RIGHT, model_info=model_info)) == Sum(a=1, b=2)
        parameters = make.body["parameters"]
        assert parameters["response_format"]["type"] == structured
        assert parameters["enable_thinking"] is False


def test_words_can_be_chosen(make, predict):
    """LlamaIndex's own setting."""
    llm = make(WITH_TOOLS, RIGHT, pydantic_program_mode=PydanticProgramMode.LLM)
    assert predict(llm) == Sum(a=1, b=2)
    assert "tools" not in make.body["parameters"]


def test_an_expired_key_is_no_empty_object(make, predict):
    """The cause is raised, on the first call."""
    for model in (PROMPT_ONLY, WITH_TOOLS):
        with pytest.raises(AuthenticationError):
            predict(make(model, EXPIRED))
        assert len(make.requests) == 1


def test_one_start_and_one_end_event(make, predict, events):
    """In words as by a tool."""
    for model, answer in ((PROMPT_ONLY, RIGHT), (WITH_TOOLS, CALL)):
        events.clear()
        predict(make(model, answer))
        names = [type(event).__name__ for event in events]
        assert names.count("LLMStructuredPredictStartEvent") == 1
        assert names.count("LLMStructuredPredictEndEvent") == 1


class Kept(ChatPromptTemplate):
    """A prompt that hands over its own messages, not copies as LlamaIndex's do."""

    def format_messages(self, llm=None, **kwargs):
        return self.message_templates


def test_the_messages_of_the_caller_stay_as_they_are(make, predict):
    """Schema and second question go into copies, in words as by a tool."""
    question = [ChatMessage("Count well.", role="system"), ChatMessage("One and two?")]
    before = copy.deepcopy(question)
    for model, script in ((PROMPT_ONLY, (WRONG, RIGHT)), (WITH_TOOLS, (CALL,))):
        assert predict(make(model, *script), Kept(question)) == Sum(a=1, b=2)
        assert question == before


def test_the_prompt_of_the_caller_stays_as_it_is(make):
    """Its own text program leaves a parser in it."""
    prompt = PromptTemplate("One and {what}?")
    make(PROMPT_ONLY, RIGHT).structured_predict(Sum, prompt, what="two")
    assert prompt.output_parser is None


def test_another_way_to_objects_that_was_chosen_is_llamaindexs_own(make, predict):
    """A ``pydantic_program_mode`` that this package has no way of its own for."""
    llm = make(WITH_TOOLS, CALL, pydantic_program_mode=PydanticProgramMode.FUNCTION)
    assert predict(llm) == Sum(a=1, b=2)
    assert make.body["parameters"]["tools"][0]["function"]["name"] == "Sum"


def test_words_follow_a_conversation_that_ends_with_an_answer(make):
    """The schema is a question of its own, no part of what the model said."""
    llm = make(CHAT, Answer('{"a": 1, "b": 2}'))
    prompt = ChatPromptTemplate([ChatMessage("hi"), ChatMessage("Three.", role="assistant")])
    assert llm.structured_predict(Sum, prompt) == Sum(a=1, b=2)
    _, answer, schema = make.body["input"]["messages"]
    assert (answer["role"], answer["content"]) == ("assistant", "Three.")
    assert schema["role"] == "user"
    assert '"a"' in schema["content"]


@pytest.mark.parametrize("model", [PROMPT_ONLY, CHAT])
def test_an_object_is_asked_for_in_a_turn_of_several_blocks(make, model):
    """The schema comes after them."""
    blocks = [TextBlock(text="One"), TextBlock(text="and two?")]
    prompt = ChatPromptTemplate([ChatMessage(role=MessageRole.USER, blocks=blocks)])
    llm = make(model, Answer('{"a": 1, "b": 2}'))
    assert llm.structured_predict(Sum, prompt) == Sum(a=1, b=2)
    sent = str(make.body["input"])
    assert sent.index(r"One\nand two?") < sent.index("JSON schema")


PIECES = ("Here it is:\n```json\n{", '"a": 1,', ' "b": ', "2}", "\n```")


@pytest.mark.parametrize("model", [PROMPT_ONLY, CHAT])
def test_an_object_is_shown_as_far_as_it_has_come(make, model):
    llm = make(model, Answer(pieces=PIECES))
    *partial, last = llm.stream_structured_predict(Sum, PROMPT, what="two")
    shown = [(getattr(each, "a", None), getattr(each, "b", None)) for each in partial]
    assert list(dict.fromkeys(shown)) == [(None, None), (1, None), (1, 2)]
    assert last == Sum(a=1, b=2)
