"""Schemas and tools in the form that the service takes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from langchain_core.tools import tool
from pydantic import BaseModel

from dashscope_oss import find_model
from dashscope_oss.gateway import Answer
from langchain_dashscope_oss.errors import InvalidRequestError

from .calling import THINKER, weather

pytestmark = pytest.mark.versions

TEXT = '{"name": "Ada", "born": 1815}'
METHODS = ("function_calling", "json_mode", "json_schema", "prompt")


def sent_by(engine):
    return engine.requests[-1].body


class Person(BaseModel):
    """A person."""

    name: str
    born: int


class Family(BaseModel):
    """A person with children."""

    name: str
    children: list[Family] = []


class Households(BaseModel):
    """Families."""

    families: list[Family]


@tool
def greet(family: Family) -> None:
    """Greet a family."""


def test_a_class_that_holds_itself_is_described_whole_by_every_method(chat, subtests):
    """LangChain's own converter says nothing of the inner objects."""
    model_info = replace(find_model(THINKER), structured="json_schema")
    for method in METHODS:
        for schema in (Family, Households):
            with subtests.test(method, schema=schema):
                llm, engine = chat(Answer(TEXT), model=THINKER, model_info=model_info)
                llm.with_structured_output(schema, method=method, include_raw=True).invoke("Hi")
                assert "#/$defs/Family" in json.dumps(sent_by(engine))
    llm, engine = chat(Answer(TEXT), model=THINKER)
    llm.bind_tools([greet]).invoke("Hi")
    (sent,) = sent_by(engine)["parameters"]["tools"]
    assert sent["function"]["parameters"]["properties"]["family"] == {"$ref": "#/$defs/Family"}


def test_a_class_or_a_tool_that_is_bound_goes_as_json(chat):
    llm, engine = chat(Answer(TEXT), model=THINKER)
    llm.bind(response_format=Person).invoke("Hi")
    wanted = sent_by(engine)["parameters"]["response_format"]
    assert wanted["json_schema"]["name"] == "Person"
    assert wanted["json_schema"]["schema"]["required"] == ["name", "born"]
    llm.bind_tools([weather], response_format=Person, strict=True).invoke("Hi")
    assert sent_by(engine)["parameters"]["response_format"]["json_schema"]["strict"] is True
    sent = sent_by(engine)["parameters"]["tools"]
    llm.bind(tools=[weather, *sent]).invoke("Hi")
    names = [each["function"]["name"] for each in sent_by(engine)["parameters"]["tools"]]
    assert names == ["weather", "weather"]
    llm.bind(response_format={"type": "text"}).invoke("Hi")
    assert sent_by(engine)["parameters"]["response_format"] == {"type": "text"}


def test_a_response_format_that_is_no_form_is_refused_in_the_services_words(chat):
    llm, _ = chat(Answer(TEXT), model=THINKER)
    with pytest.raises(InvalidRequestError, match=r"valid dictionary: parameters\.response_format"):
        llm.invoke("Hi", response_format="json_object")
