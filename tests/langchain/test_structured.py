"""Structured output: every method, every kind of schema, on models with and without tools."""

from __future__ import annotations

import json
import pickle
import warnings
from dataclasses import replace
from functools import reduce
from operator import add
from typing import TypedDict

import pytest
from langchain_core import exceptions as lc
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel
from pydantic.v1 import BaseModel as OldModel

from dashscope_oss import DashScopeWarning, ToolCall, find_model
from dashscope_oss.gateway import Answer, Fault
from langchain_dashscope_oss.errors import ConfigurationError, UnsupportedInputError

from .calling import PATHS, PROMPT_ONLY, STREAMS, THINKER, call, pieces, weather

pytestmark = pytest.mark.versions

ALWAYS_THINKS = "kimi-k2.7-code"
NO_TOOLS = "llama3-8b-instruct"
TEXT = '{"name": "Ada", "born": 1815}'
ADA = {"name": "Ada", "born": 1815}
PIECES = ('{"name": "A', 'da", "born": ', "1815}")
METHODS = ("function_calling", "json_mode", "json_schema", "prompt")


class Person(BaseModel):
    """A person."""

    name: str
    born: int


class OldPerson(OldModel):
    """A person, in pydantic's old way."""

    name: str
    born: int


class PersonDict(TypedDict):
    """A person, as a dict."""

    name: str
    born: int


def person(name: str, born: int) -> None:
    """A person.

    Args:
        name: the name.
        born: the year.
    """


SCHEMA = {"title": "person", "description": "A person.", **Person.model_json_schema()}
SCHEMAS = {
    "pydantic": (Person, Person(**ADA)),
    "pydantic v1": (OldPerson, OldPerson(**ADA)),
    "TypedDict": (PersonDict, ADA),
    "JSON schema": (SCHEMA, ADA),
    "function": (person, ADA),
}


def good_model(request):
    """Calls the tool that it is given, else writes the object."""
    tools = request.parameters.get("tools")
    if not tools:
        return Answer(pieces=PIECES)
    return Answer(tool_calls=(ToolCall("c1", tools[0]["function"]["name"], TEXT, 0),))


async def objects(runnable, path, question="Who was Ada?"):
    """What comes, by one of the four paths, as a list."""
    if "stream" in path:
        return await pieces(runnable, path, question)
    return [await call(runnable, path, question)]


def last_request(engine):
    return engine.requests[-1].body


# The object.


@pytest.mark.parametrize("method", ["function_calling", "json_mode", "prompt"])
def test_every_schema_gives_its_object_by_every_method(chat, method, subtests):
    llm, _ = chat(good_model, model=THINKER)
    for name, (schema, expected) in SCHEMAS.items():
        with subtests.test(name):
            structured = llm.with_structured_output(schema, method=method)
            assert structured.invoke("Who was Ada?") == expected
            assert [*structured.stream("Who was Ada?")][-1] == expected


@pytest.mark.parametrize("model", [PROMPT_ONLY, THINKER])
@PATHS
async def test_the_object_is_the_same_by_every_path(chat, path, model):
    llm, _ = chat(good_model, model=model)
    assert (await objects(llm.with_structured_output(Person), path))[-1] == Person(**ADA)


@STREAMS
async def test_a_dict_grows_in_a_stream(chat, path):
    llm, _ = chat(Answer(pieces=PIECES), model=PROMPT_ONLY)
    grown = await objects(llm.with_structured_output(PersonDict), path)
    assert grown == [{"name": "A"}, {"name": "Ada"}, ADA]


def test_it_works_within_a_chain_and_in_batches(chat):
    llm, _ = chat(Answer(pieces=PIECES), model=PROMPT_ONLY)
    prompt = ChatPromptTemplate.from_template("Who was {who}?")
    chain = prompt | llm.with_structured_output(PersonDict)
    assert chain.invoke({"who": "Ada"}) == ADA
    assert list(chain.stream({"who": "Ada"}))[-1] == ADA
    assert chain.batch([{"who": "Ada"}] * 2) == [ADA, ADA]


@pytest.mark.parametrize("method", ["function_calling", "prompt"])
def test_it_can_be_pickled_used_or_not(chat, method):
    """Worker processes are sent whole chains."""
    llm, _ = chat(good_model, model=THINKER)
    for schema in (Person, PersonDict):
        structured = llm.with_structured_output(schema, method=method)
        expected = structured.invoke("Who was Ada?")
        assert pickle.loads(pickle.dumps(structured)).invoke("Who was Ada?") == expected


def test_a_chain_knows_the_form_of_its_objects(chat):
    llm, _ = chat(good_model, model=THINKER)
    structured = llm.with_structured_output(Person)
    assert structured.get_output_jsonschema() == Person.model_json_schema()
    for schema, include_raw in [(Person, True), (PersonDict, False), (SCHEMA, False)]:
        structured = llm.with_structured_output(schema, include_raw=include_raw)
        assert structured.get_output_jsonschema()["type"] == "object"


def test_without_a_schema_json_mode_gives_whatever_object_comes(chat):
    llm, engine = chat(Answer('{"a": [1]}'), model=THINKER)
    assert llm.with_structured_output(None, method="json_mode").invoke("Any.") == {"a": [1]}
    assert last_request(engine)["parameters"]["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize(
    "answer", [f"```json\n{TEXT}\n```", f"I use {{name}} and {{born}}: {TEXT} That was it."]
)
def test_fences_and_words_around_the_object_are_passed_over(chat, answer):
    llm, engine = chat(Answer(answer), model=PROMPT_ONLY)
    assert llm.with_structured_output(Person).invoke("Who?") == Person(**ADA)
    assert len(engine.requests) == 1


# How it is asked for.


UNKNOWN_TO = {
    method: f"does not know method='{method}'; it falls back"
    for method in ("function_calling", "json_mode", "json_schema")
}
WARNINGS = {
    THINKER: {"json_schema": UNKNOWN_TO["json_schema"]},
    ALWAYS_THINKS: {
        "json_schema": UNKNOWN_TO["json_schema"],
        "json_mode": "thinks, and then has no method='json_mode'; it falls back",
        "function_calling": "cannot force",
    },
    NO_TOOLS: UNKNOWN_TO,
    PROMPT_ONLY: UNKNOWN_TO,
}


@pytest.mark.parametrize("model", WARNINGS)
def test_every_method_gives_an_object_on_every_model(chat, model, subtests):
    """What a model lacks falls back, with a warning at the caller's line that says what it has."""
    llm, _ = chat(good_model, model=model)
    for method in METHODS:
        with subtests.test(method):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", DashScopeWarning)
                structured = llm.with_structured_output(Person, method=method)
            ours = [each for each in caught if issubclass(each.category, DashScopeWarning)]
            expected = [WARNINGS[model][method]] if method in WARNINGS[model] else []
            assert [each.filename for each in ours] == [__file__] * len(expected)
            assert all(text in str(each.message) for text, each in zip(expected, ours, strict=True))
            assert structured.invoke("Who?") == Person(**ADA)


@pytest.mark.parametrize(
    ("model", "structured", "settings", "sent"),
    [
        (THINKER, "json_object", {}, "tool_choice"),
        (THINKER, "json_object", {"enable_thinking": True}, None),
        (NO_TOOLS, "json_object", {}, "response_format"),
        (NO_TOOLS, "json_schema", {}, "response_format"),
        (NO_TOOLS, "none", {}, None),
    ],
)
def test_the_record_chooses_the_surest_method(chat, model, structured, settings, sent):
    """A tool, a JSON mode, else words; words while it thinks, for then none is forced."""
    info = replace(find_model(model), structured=structured)
    llm, engine = chat(good_model, model=model, model_info=info, **settings)
    llm.with_structured_output(Person).invoke("Who?")
    forcing = {"tool_choice", "response_format"} & last_request(engine)["parameters"].keys()
    assert forcing == ({sent} if sent else set())


def test_a_tool_is_forced_with_thinking_off_and_the_model_stays_as_it_is(chat):
    llm, engine = chat(good_model, model=THINKER)
    before = llm.model_dump()
    llm.with_structured_output(Person, strict=True, seed=7).invoke("Who?")
    parameters = last_request(engine)["parameters"]
    assert parameters["tool_choice"]["function"]["name"] == "Person"
    assert parameters["tools"][0]["function"]["strict"] is True
    assert (parameters["enable_thinking"], parameters["seed"]) == (False, 7)
    assert llm.model_dump() == before


def test_where_the_service_follows_a_schema_it_is_sent_and_the_prompt_stays(chat):
    able = replace(find_model(NO_TOOLS), structured="json_schema")
    llm, engine = chat(Answer(TEXT), model_info=able)
    structured = llm.with_structured_output(Person, strict=True)
    assert structured.invoke("Who?") == Person(**ADA)
    response_format = last_request(engine)["parameters"]["response_format"]
    assert response_format["type"] == "json_schema"
    schema = response_format["json_schema"]
    assert (schema["name"], schema["strict"]) == ("Person", True)
    assert set(schema["schema"]["properties"]) == {"name", "born"}
    assert last_request(engine)["input"]["messages"] == [{"role": "user", "content": "Who?"}]


@pytest.mark.parametrize(
    ("question", "added"),
    [
        ("Who? In JSON.", False),
        ("Who?", True),
        ([SystemMessage("Write json."), HumanMessage("Who?")], False),
    ],
)
def test_for_json_mode_the_schema_is_added_only_if_nobody_spoke_of_json(chat, question, added):
    """Which the service demands."""
    llm, engine = chat(Answer(TEXT), model=THINKER)
    llm.with_structured_output(Person, method="json_mode").invoke(question)
    last = last_request(engine)["input"]["messages"][-1]["content"]
    assert ("JSON schema" in last) is added


def test_instructions_go_behind_a_question_of_blocks_as_a_block(chat):
    llm, engine = chat(Answer(TEXT))
    llm.with_structured_output(Person).invoke([HumanMessage([{"type": "text", "text": "Who?"}])])
    sent = last_request(engine)["input"]["messages"][-1]["content"]
    assert sent.startswith("Who?\n\n")
    assert "JSON schema" in sent


def test_instructions_behind_an_answer_are_a_question_of_their_own(chat):
    """An answer of the model stays its own."""
    llm, engine = chat(Answer(TEXT))
    llm.with_structured_output(Person).invoke([("user", "Who?"), AIMessage("Ann.")])
    *_, answer, instructions = last_request(engine)["input"]["messages"]
    assert (answer["role"], answer["content"]) == ("assistant", "Ann.")
    assert instructions["role"] == "user"
    assert '"name"' in instructions["content"]


def test_the_call_may_name_another_model_whose_record_decides(chat):
    llm, engine = chat(Answer(TEXT))
    llm.with_structured_output(Person, method="json_mode", model_name=THINKER).invoke("Hi")
    assert last_request(engine)["model"] == THINKER
    assert "response_format" in last_request(engine)["parameters"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"method": "magic"}, "unknown method"),
        ({"schema": None}, "needs a schema"),
        ({"tools": [weather]}, "include_raw"),
    ],
)
def test_what_cannot_be_combined_is_refused(chat, arguments, reason):
    llm, _ = chat(model=THINKER)
    with pytest.raises(ConfigurationError, match=reason):
        llm.with_structured_output(**{"schema": Person, **arguments})


# Further tools.


def test_further_tools_need_a_model_with_tools(chat):
    llm, _ = chat(model=PROMPT_ONLY)
    with pytest.raises(UnsupportedInputError, match="knows no tools"):
        llm.with_structured_output(Person, tools=[weather], include_raw=True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("function_calling", "invoke"), ("function_calling", "astream")),
        *(("json_mode", "ainvoke"), ("json_mode", "stream")),
    ],
)
async def test_a_call_of_a_further_tool_is_in_raw_and_no_error(chat, path, method):
    """The choice is the model's."""
    called = ToolCall("c1", "weather", '{"city": "Oslo"}', 0)
    llm, engine = chat(Answer(tool_calls=(called,)), model=THINKER)
    structured = llm.with_structured_output(
        Person, method=method, tools=[weather], include_raw=True
    )
    answer = reduce(add, await objects(structured, path, "Rain? In JSON."))
    assert answer["parsed"] is None
    assert answer["parsing_error"] is None
    assert answer["raw"].tool_calls[0]["name"] == "weather"
    assert "tool_choice" not in last_request(engine)["parameters"]


def test_another_tools_broken_call_is_not_the_objects(chat):
    """Streamed as not streamed."""
    calls = (ToolCall("c1", "weather", '{"city": "Os', 0), ToolCall("c0", "Person", TEXT, 1))
    llm, _ = chat(Answer("", tool_calls=calls), model=THINKER)
    structured = llm.with_structured_output(Person, tools=[weather], include_raw=True)
    for answer in (structured.invoke("Hi"), reduce(add, structured.stream("Hi"))):
        assert (answer["parsed"], answer["parsing_error"]) == (Person(**ADA), None)


# Answers that cannot be read.


@pytest.mark.parametrize("name", ["pydantic", "TypedDict"])
def test_an_answer_that_cannot_be_read_is_asked_for_once_more_with_the_reason(chat, name, subtests):
    schema, expected = SCHEMAS[name]
    for bad in (
        "I do not know.",
        '{"name": "Ada", "born": 18',
        '{"name": "Ada"}',
        '{"name": "Ada", "parents": {"born": 1815}',
    ):
        with subtests.test(bad):
            llm, engine = chat(Answer(bad), Answer(TEXT))
            assert llm.with_structured_output(schema).invoke("Who was Ada?") == expected
            first, second = (request.body["input"]["messages"] for request in engine.requests)
            assert second[:-2] == first
            assert second[-2] == {"role": "assistant", "content": bad}
            assert "cannot be used" in second[-1]["content"]
            assert "troubleshooting" not in second[-1]["content"]


@PATHS
async def test_there_is_one_repair_by_every_path_and_then_the_parsers_error(chat, path):
    llm, engine = chat(Answer("I do not know."), model=PROMPT_ONLY)
    wanted = f"{PROMPT_ONLY}: the answer holds no whole JSON object. Simplify the question"
    with pytest.raises(OutputParserException, match=wanted) as caught:
        await objects(llm.with_structured_output(Person), path)
    assert caught.value.llm_output == "I do not know."
    assert len(engine.requests) == 2


@pytest.mark.parametrize(
    ("answer", "requests", "path"),
    [
        *(("不" * 3000, 1, "invoke"), ("不" * 3000, 1, "astream")),
        *(("No. <bot>:<human>:", 2, "ainvoke"), ("No. <bot>:<human>:", 2, "stream")),
    ],
)
async def test_where_the_model_cannot_be_shown_its_answer_the_first_error_counts(
    chat, path, answer, requests
):
    """It is over the window, or its own marks stand in it."""
    llm, engine = chat(Answer(answer), model=PROMPT_ONLY)
    with pytest.raises(OutputParserException):
        await objects(llm.with_structured_output(Person), path)
    assert len(engine.requests) <= requests


def calling_person(name, arguments):
    return Answer(tool_calls=(ToolCall("1", name, arguments, 0),))


@pytest.mark.parametrize(
    ("schema", "answer", "reason"),
    [
        (Person, Answer("I'd rather talk."), "did not call Person"),
        (Person, Answer("I'd rath", finish_reason="length"), "cut off .* raise max_tokens"),
        (Person, calling_person("Other", "{}"), "did not call Person"),
        (Person, calling_person("Person", '{"name": "A'), "not JSON"),
        (Person, calling_person("Person", '{"name": "A"}'), "born"),
        (PersonDict, calling_person("PersonDict", '{"name": "A"}'), "lacks born"),
    ],
)
def test_a_tool_that_is_not_called_well_is_an_error_and_never_none(chat, schema, answer, reason):
    llm, _ = chat(answer, model=THINKER)
    structured = llm.with_structured_output(schema)
    with pytest.raises(OutputParserException, match=reason):
        structured.invoke("Who?")
    with pytest.raises(OutputParserException, match=reason):
        list(structured.stream("Who?"))


@PATHS
@pytest.mark.parametrize("model", [THINKER, PROMPT_ONLY])
async def test_include_raw_gives_the_error_and_does_not_raise_it(chat, path, model):
    good, _ = chat(good_model, model=model)
    bad, _ = chat(Answer("I do not know."), model=model)
    for llm, expected in ((good, Person(**ADA)), (bad, None)):
        answer = reduce(
            add, await objects(llm.with_structured_output(Person, include_raw=True), path)
        )
        assert set(answer) == {"raw", "parsed", "parsing_error"}
        assert isinstance(answer["raw"], AIMessage)
        assert answer["parsed"] == expected
        assert (answer["parsing_error"] is None) is (expected is not None)


def test_blocked_content_is_a_refusal_and_not_asked_for_again(chat):
    fault = Fault(status=400, code="DataInspectionFailed", message="No.")
    llm, engine = chat(fault, model=PROMPT_ONLY)
    with pytest.raises(lc.ModelInvalidRequestError) as caught:
        llm.with_structured_output(Person).invoke("Who?")
    assert caught.value.raw_message.content[0]["refusal"] == "No."
    assert len(engine.requests) == 1


class Started(BaseCallbackHandler):
    """Keeps what a run of the model started with."""

    def on_chat_model_start(self, serialized, messages, *, options, **_):
        self.options = options


def test_traces_know_method_and_schema_which_are_not_sent(chat):
    llm, engine = chat(good_model, model=THINKER)
    seen = Started()
    llm.with_structured_output(Person).invoke("Who?", config={"callbacks": [seen]})
    traced = seen.options["ls_structured_output_format"]
    assert traced["kwargs"]["method"] == "function_calling"
    assert set(traced["schema"]["properties"]) == {"name", "born"}
    assert "ls_structured_output_format" not in json.dumps(last_request(engine))
