"""An object as the answer: the way it is asked for, the words, and the object in a text."""

import json
from dataclasses import replace

import pytest
from pydantic import BaseModel

from dashscope_oss import find_model
from dashscope_oss.protocol.structured_output import (
    best_method,
    instructions,
    json_mode,
    known_methods,
    nearest_method,
    repair,
    response_format,
)

TOOLS = "deepseek-v4-pro"
THINKER = "kimi-k2.7-code"
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}}
ADA = {"name": "Ada", "born": 1815}
TEXT = '{"name": "Ada", "born": 1815}'


def model(id, **changes):
    return replace(find_model(id), **changes)


@pytest.mark.parametrize(
    ("model_info", "enable_thinking", "method"),
    [
        (model(TOOLS), None, "tool"),
        (model(TOOLS), False, "tool"),
        (model(TOOLS), True, "words"),
        (model(THINKER), None, "words"),
        (model(TOOLS, tools=False, structured="json_object"), None, "json_object"),
        (model(TOOLS, tools=False, structured="json_schema"), None, "json_schema"),
        (model(TOOLS, tools=False, structured="json_schema"), True, "words"),
        (model(TOOLS, tools=False, structured="unknown"), None, "words"),
        (model("llama3-8b-instruct"), None, "words"),
        (model("ziya-llama-13b-v1"), None, "words"),
    ],
)
def test_the_surest_method_of_a_model(model_info, enable_thinking, method):
    """A tool, then a JSON mode, then words; while it thinks the service forces nothing."""
    assert best_method(model_info, enable_thinking) == method
    mode = json_mode(model_info, enable_thinking)
    assert method in ("tool", mode or "words")


@pytest.mark.parametrize(
    ("model_info", "thinking", "methods"),
    [
        (model(TOOLS, structured="json_schema"), False, "tool json_schema json_object words"),
        (model(TOOLS, structured="unknown"), False, "tool json_schema json_object words"),
        (model(TOOLS, structured="json_object"), False, "tool json_object words"),
        (model(TOOLS, structured="json_schema"), True, "tool words"),
        (model("llama3-8b-instruct"), False, "words"),
    ],
)
def test_the_methods_that_a_model_knows(model_info, thinking, methods):
    assert known_methods(model_info, thinking=thinking) == tuple(methods.split())


@pytest.mark.parametrize(
    ("method", "known", "nearest"),
    [
        ("tool", ("tool", "words"), "tool"),
        ("tool", ("json_object", "words"), "words"),
        ("json_schema", ("json_object", "words"), "json_object"),
        ("json_schema", ("words",), "words"),
        ("json_object", ("json_schema", "words"), "words"),
    ],
)
def test_the_method_to_fall_back_to(method, known, nearest):
    assert nearest_method(method, known) == nearest


def test_the_parameter_of_a_json_mode():
    assert response_format(None) == {"type": "json_object"}
    assert response_format(SCHEMA) == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA},
    }
    assert response_format(SCHEMA, name="P", description="A person.", strict=True) == {
        "type": "json_schema",
        "json_schema": {
            "name": "P",
            "description": "A person.",
            "strict": True,
            "schema": SCHEMA,
        },
    }


def test_the_words_that_ask_for_an_object():
    """The schema stands in them as JSON; the service's JSON mode wants the word JSON."""
    assert '"properties": {"name"' in instructions(SCHEMA)
    assert "JSON" in instructions(SCHEMA)
    assert "JSON" in instructions(None)
    assert "schema" not in instructions(None)


def test_the_words_of_a_repair_hold_the_reason_and_not_too_much_of_it():
    words = repair("name is missing" + "x" * 10_000)
    assert "cannot be used: name is missing" in words
    assert len(words) < 700


class Family(BaseModel):
    name: str
    children: list["Family"] = []


def test_a_class_that_holds_itself_has_its_properties_at_the_root():
    """There pydantic writes a reference only, which not every server follows."""
    schema = Family.model_json_schema()
    assert "properties" not in schema
    asked = response_format(schema)["json_schema"]["schema"]
    assert asked == {**schema["$defs"]["Family"], "$defs": schema["$defs"]}
    assert json.dumps(asked) in instructions(schema)


@pytest.mark.parametrize("schema", [SCHEMA, {"$ref": "#/x"}, {"$ref": "#/x", "$defs": {"y": {}}}])
def test_a_schema_without_a_reference_to_follow_stays_as_it_is(schema):
    assert response_format(schema)["json_schema"]["schema"] == schema
