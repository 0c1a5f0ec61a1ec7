"""Answers in a form: every method, every kind of schema, on models with and without tools."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TypedDict

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from pydantic import BaseModel
from pydantic.v1 import BaseModel as OldModel

from dashscope_oss import (
    ConfigurationError,
    DashScopeWarning,
    ToolCall,
    UnsupportedInputError,
    find_model,
)
from dashscope_oss.gateway import Answer, Fault
from langchain_dashscope_oss._structured.methods import METHODS, choose_method
from langchain_dashscope_oss._structured.parsers import text_parser, tool_call_parser

TOOLS = "deepseek-v4-pro"
ZIYA = "ziya-llama-13b-v1"
THINKER = "kimi-k2.7-code"
TEXT = '{"name": "Ada", "born": 1815}'
ADA = {"name": "Ada", "born": 1815}
PIECES = ('{"name": "A', 'da", "born": ', "1815}")
PATHS = pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream", "astream"])


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


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return "rain"


def called(job):
    """A good model: calls the tool that it is given, else writes the object."""
    tools = job.parameters.get("tools")
    if not tools:
        return Answer(pieces=PIECES)
    call = ToolCall("c1", tools[0]["function"]["name"], TEXT, 0)
    return Answer(tool_calls=(call,))


async def all_of(runnable, path, given="Who was Ada?"):
    """What comes, by one of the four paths, as a list."""
    if path == "invoke":
        return [runnable.invoke(given)]
    if path == "ainvoke":
        return [await runnable.ainvoke(given)]
    if path == "stream":
        return list(runnable.stream(given))
    return [piece async for piece in runnable.astream(given)]


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize(
    ("model", "way"),
    [(ZIYA, "prompt"), (TOOLS, "function_calling"), (TOOLS, "json_mode"), (TOOLS, "prompt")],
)
@PATHS
async def test_every_schema_by_every_way(chat, path, model, way, schema):
    """Row 25: the same object, whichever way it is got."""
    form, expected = SCHEMAS[schema]
    llm, _ = chat(called, model=model)
    assert (await all_of(llm.with_structured_output(form, method=way), path))[-1] == expected


@pytest.mark.parametrize(
    ("model", "structured", "thinking", "way"),
    [
        (TOOLS, "json_object", None, "function_calling"),
        (TOOLS, "json_object", True, "prompt"),
        (THINKER, "json_object", None, "prompt"),
        ("llama3-8b-instruct", "none", None, "prompt"),
        ("llama3-8b-instruct", "json_object", None, "json_mode"),
        ("llama3-8b-instruct", "json_schema", None, "json_schema"),
        (ZIYA, "none", None, "prompt"),
    ],
)
def test_the_record_chooses_the_way(model, structured, thinking, way):
    """Row 25: a tool, a JSON mode, else words; words while it thinks, for then none is forced."""
    model_info = replace(find_model(model), structured=structured)
    assert choose_method(model_info, None, thinking) == way


async def test_what_is_sent(chat):
    """Row 25: the tool forced with thinking off, or the format; the model stays as it is."""
    llm, engine = chat(called, model=TOOLS)
    before = llm.model_dump()
    llm.with_structured_output(Person, strict=True).invoke("Who?")
    by_tool = engine.requests[-1].body["parameters"]
    assert by_tool["tool_choice"]["function"]["name"] == "Person"
    assert by_tool["tools"][0]["function"]["strict"] is True
    assert by_tool["enable_thinking"] is False
    llm.with_structured_output(Person, method="json_mode", seed=7).invoke("Who?")
    by_mode = engine.requests[-1].body["parameters"]
    assert by_mode["response_format"] == {"type": "json_object"}
    assert (by_mode["enable_thinking"], by_mode["seed"]) == (False, 7)
    assert llm.model_dump() == before


async def test_json_schema_where_the_record_has_it(chat):
    """Row 25: the service is sent the schema, the prompt stays as it is."""
    able = replace(find_model("llama3-8b-instruct"), structured="json_schema")
    llm, engine = chat(Answer(TEXT), model_info=able)
    structured = llm.with_structured_output(Person, strict=True)
    assert structured.invoke("Who?") == Person(**ADA)
    found = engine.requests[-1].body["parameters"]["response_format"]
    assert found["type"] == "json_schema"
    assert (found["json_schema"]["name"], found["json_schema"]["strict"]) == ("Person", True)
    assert set(found["json_schema"]["schema"]["properties"]) == {"name", "born"}
    assert engine.requests[-1].body["input"]["messages"] == [{"role": "user", "content": "Who?"}]


@pytest.mark.parametrize(
    ("given", "added"),
    [("Who? In JSON.", False), ("Who?", True), ([SystemMessage("Write json.")], False)],
)
async def test_json_mode_needs_the_word(chat, given, added):
    """Row 25: the service demands "json" in the messages; it is added if nobody said it."""
    llm, engine = chat(Answer(TEXT), model=TOOLS)
    turns = given if isinstance(given, list) else []
    asked = [*turns, HumanMessage("Who?")] if turns else given
    llm.with_structured_output(Person, method="json_mode").invoke(asked)
    last = engine.requests[-1].body["input"]["messages"][-1]["content"]
    assert ("JSON schema" in last) is added


async def test_any_object(chat):
    """Row 25: without a schema, JSON mode gives whatever object comes."""
    llm, _ = chat(Answer('{"a": [1]}'), model=TOOLS)
    assert llm.with_structured_output(None, method="json_mode").invoke("Any.") == {"a": [1]}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", [TOOLS, THINKER, "llama3-8b-instruct", ZIYA])
async def test_every_method_gives_an_object_on_every_model(chat, model, method):
    """Row 25: what a model lacks falls back with a warning that says what it has."""
    llm, _ = chat(called, model=model)
    model_info = find_model(model)
    lacking = not model_info.tools or method == "json_schema"
    thinks = model == THINKER and method == "function_calling"
    rests = model == THINKER and method == "json_mode"
    if (lacking and method != "prompt") or thinks or rests:
        lacks = "thinks, and then has no" if rests else "does not know"
        told = "cannot force" if thinks else f"{lacks} method='{method}'; it falls back"
        with pytest.warns(DashScopeWarning, match=told) as caught:
            structured = llm.with_structured_output(Person, method=method)
        assert caught[0].filename == __file__
    else:
        structured = llm.with_structured_output(Person, method=method)
    assert structured.invoke("Who?") == Person(**ADA)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"method": "magic"}, "unknown method"),
        ({"schema": None}, "needs a schema"),
        ({"tools": [weather]}, "include_raw"),
    ],
)
def test_what_cannot_be(chat, given, told):
    """The package's error says what to do."""
    llm, _ = chat(model=TOOLS)
    with pytest.raises(ConfigurationError, match=told):
        llm.with_structured_output(**{"schema": Person, **given})


def test_further_tools_need_a_model_with_tools(chat):
    """Words cannot call anything."""
    llm, _ = chat(model=ZIYA)
    with pytest.raises(UnsupportedInputError, match="knows no tools"):
        llm.with_structured_output(Person, tools=[weather], include_raw=True)


@pytest.mark.parametrize("method", ["function_calling", "json_mode"])
@PATHS
async def test_further_tools(chat, path, method):
    """Row 25: a call of another tool is in raw, and no error; the choice is the model's."""
    call = ToolCall("c1", "weather", '{"city": "Oslo"}', 0)
    llm, engine = chat(Answer(tool_calls=(call,)), model=TOOLS)
    structured = llm.with_structured_output(
        Person, method=method, tools=[weather], include_raw=True
    )
    found = {}
    for piece in await all_of(structured, path, "Rain? In JSON."):
        found = found + piece if found else piece
    assert found["parsed"] is None
    assert found["parsing_error"] is None
    assert found["raw"].tool_calls[0]["name"] == "weather"
    assert "tool_choice" not in engine.requests[-1].body["parameters"]


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"```json\n{TEXT}\n```",
        '{"name": "Ada", "born": 1815, "code": "```\\n{}\\n```"}',
        f"Like {{\n```json\n{TEXT}\n```",
        f"Sure, here it is:\n```\n{TEXT}\n```\nHope this helps {{x}}!",
        f"I use {{name}} and {{born}}: {TEXT} That was it.",
        '{"name": "Ada", "born": 1815, "note": "a } and a {"}',
    ],
)
async def test_words_around_the_object(chat, text):
    """Row 25: fences and talk before and after are passed over."""
    llm, engine = chat(Answer(text), model=ZIYA)
    assert llm.with_structured_output(Person).invoke("Who?") == Person(**ADA)
    assert len(engine.requests) == 1


@pytest.mark.parametrize(
    "bad",
    [
        "I do not know.",
        '{"name": "Ada", "born": 18',
        '{"name": "Ada"}',
        '{"name": "Ada", "parents": {"born": 1815}',
    ],
)
@pytest.mark.parametrize("schema", ["pydantic", "TypedDict"])
@PATHS
async def test_one_repair(chat, path, schema, bad):
    """Row 25: an answer that cannot be read is asked for once more, with the reason."""
    form, expected = SCHEMAS[schema]
    llm, engine = chat(Answer(bad), Answer(TEXT), model="llama3-8b-instruct")
    assert (await all_of(llm.with_structured_output(form), path))[-1] == expected
    first, second = (request.body["input"]["messages"] for request in engine.requests)
    assert second[:-2] == first
    assert second[-2] == {"role": "assistant", "content": bad}
    assert "cannot be used" in second[-1]["content"]
    assert "troubleshooting" not in second[-1]["content"]


@PATHS
async def test_no_second_repair(chat, path):
    """Row 25: then it is the parser's error, with the answer."""
    llm, engine = chat(Answer("I do not know."), model=ZIYA)
    with pytest.raises(OutputParserException, match="no whole JSON object") as caught:
        await all_of(llm.with_structured_output(Person), path)
    assert caught.value.llm_output == "I do not know."
    assert len(engine.requests) == 2


async def test_an_answer_too_long_to_be_shown_again(chat):
    """What was wrong with it counts, not that the question with it is over the window."""
    llm, engine = chat(Answer("不" * 3000), model=ZIYA)
    with pytest.raises(OutputParserException):
        llm.with_structured_output(Person).invoke("Who?")
    assert len(engine.requests) == 1


async def test_an_answer_that_cannot_be_shown_again(chat):
    """Its own marks cannot stand in a prompt: the first error counts."""
    llm, engine = chat(Answer("No. <bot>:<human>:"), model=ZIYA)
    with pytest.raises(OutputParserException):
        llm.with_structured_output(Person).invoke("Who?")
    assert len(engine.requests) <= 2


@PATHS
@pytest.mark.parametrize("model", [TOOLS, ZIYA])
async def test_include_raw(chat, path, model):
    """Row 25: raw, parsed and the error, which is then not raised."""
    good, _ = chat(called, model=model)
    bad, _ = chat(Answer("I do not know."), model=model)
    for llm, expected in ((good, Person(**ADA)), (bad, None)):
        found = {}
        for piece in await all_of(llm.with_structured_output(Person, include_raw=True), path):
            found = found + piece if found else piece
        assert set(found) == {"raw", "parsed", "parsing_error"}
        assert isinstance(found["raw"], AIMessage)
        assert found["parsed"] == expected
        assert (found["parsing_error"] is None) is (expected is not None)


@pytest.mark.parametrize("path", ["stream", "astream"])
async def test_objects_grow_in_a_stream(chat, path):
    """Row 25: a dict is handed on as it grows."""
    llm, _ = chat(Answer(pieces=PIECES), model=ZIYA)
    found = await all_of(llm.with_structured_output(PersonDict), path)
    assert found == [{"name": "A"}, {"name": "Ada"}, ADA]


async def test_in_a_chain(chat):
    """Row 25: prompt before, and a stream through both."""
    llm, _ = chat(Answer(pieces=PIECES), model=ZIYA)
    chain = ChatPromptTemplate.from_template("Who was {who}?") | llm.with_structured_output(
        PersonDict
    )
    assert chain.invoke({"who": "Ada"}) == ADA
    assert list(chain.stream({"who": "Ada"}))[-1] == ADA
    assert chain.batch([{"who": "Ada"}] * 2) == [ADA, ADA]


@PATHS
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer("I'd rather talk."), "did not call Person"),
        (Answer(tool_calls=(ToolCall("1", "Person", '{"name": "A', 0),)), "no JSON"),
        (Answer(tool_calls=(ToolCall("1", "Person", '{"name": "A"}', 0),)), "born"),
        (Answer(tool_calls=(ToolCall("1", "Other", "{}", 0),)), "did not call Person"),
    ],
)
async def test_a_tool_not_called_well_is_an_error(chat, path, answer, told):
    """Row 25: never None in silence."""
    llm, _ = chat(answer, model=TOOLS)
    with pytest.raises(OutputParserException, match=told):
        await all_of(llm.with_structured_output(Person), path)


async def test_blocked_content_is_a_refusal(chat):
    """Row 25: and LangChain's ModelRefusalError where there is one; nothing is asked again."""
    from langchain_core import exceptions

    llm, engine = chat(Fault(status=400, code="DataInspectionFailed", message="No."), model=ZIYA)
    kind = getattr(exceptions, "ModelRefusalError", exceptions.ModelInvalidRequestError)
    with pytest.raises(kind) as caught:
        llm.with_structured_output(Person).invoke("Who?")
    assert caught.value.raw_message.content[0]["refusal"] == "No."
    assert len(engine.requests) == 1


class Started(BaseCallbackHandler):
    """Keeps what a run of the model started with."""

    def on_chat_model_start(self, serialized, messages, *, options, **_):
        self.options = options


async def test_traces_know_method_and_schema(chat):
    """Row 25: the format stands on the model's run, not in the request."""
    llm, engine = chat(called, model=TOOLS)
    seen = Started()
    llm.with_structured_output(Person).invoke("Who?", config={"callbacks": [seen]})
    traced = seen.options["ls_structured_output_format"]
    assert traced["kwargs"]["method"] == "function_calling"
    assert set(traced["schema"]["properties"]) == {"name", "born"}
    assert "ls_structured_output_format" not in json.dumps(engine.requests[-1].body)


async def test_blocks_of_content_get_the_words_too(chat):
    """A message of blocks is completed by a block."""
    llm, engine = chat(Answer(TEXT))
    llm.with_structured_output(Person).invoke([HumanMessage([{"type": "text", "text": "Who?"}])])
    assert "JSON schema" in engine.requests[-1].body["input"]["messages"][-1]["content"]


def test_required_names():
    """A dict is not validated, but what is required must be there."""
    read = text_parser(SCHEMA)
    with pytest.raises(OutputParserException, match="lacks born"):
        read(AIMessage('{"name": "Ada"}'), partial=False)


def test_required_names_of_a_tools_arguments():
    """A dict by way of a tool is held to the required names as one in a text is."""
    read = tool_call_parser(PersonDict, optional=False)
    call = {"name": "PersonDict", "args": {"name": "Ada"}, "id": "1"}
    with pytest.raises(OutputParserException, match="lacks born"):
        read(AIMessage("", tool_calls=[call]), partial=False)
