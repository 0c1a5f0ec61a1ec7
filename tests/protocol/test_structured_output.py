"""An object as the answer: the way it is asked for, the words, and the object in a text."""

from dataclasses import replace

import pytest

from dashscope_oss import find_model
from dashscope_oss.protocol.structured_output import (
    best_method,
    instructions,
    json_mode,
    known_methods,
    nearest_method,
    read_object,
    read_partial_object,
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


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"```json\n{TEXT}\n```",
        f"Like {{\n```json\n{TEXT}\n```",
        f"Sure, here it is:\n```\n{TEXT}\n```\nHope this helps {{x}}!",
        f"I use {{name}} and {{born}}: {TEXT} That was it.",
        f"{TEXT}{TEXT}",
    ],
)
def test_words_and_fences_around_the_object_are_passed_over(text):
    assert read_object(text, dict) == ADA


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"code": "```\\n{}\\n```"}', {"code": "```\n{}\n```"}),
        ('{"note": "a } and a {"}', {"note": "a } and a {"}),
        ('{"line": "a\nb"}', {"line": "a\nb"}),
    ],
)
def test_marks_inside_of_strings_are_text(text, expected):
    assert read_object(text, dict) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I do not know.",
        '{"name": "Ada", "born": 18',
        '{"name": "Ada", "parents": {"born": 1815}',
        '{"a":' * 100_000 + "1" + "}" * 100_000,
    ],
)
def test_a_text_without_a_whole_object_has_none(text):
    """Part of an object is never taken for the object."""
    with pytest.raises(ValueError, match="no whole JSON object"):
        read_object(text, dict)


def test_an_object_that_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="born"):
        read_object('{"name": "Ada"}', _person)


def _person(json_object):
    if "born" not in json_object:
        raise ValueError("born is missing")
    return json_object


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("Here it", None),
        ("Here it is: {", {}),
        ('```json\n{"name": "A', {"name": "A"}),
        ('{"name": "Ada", "born": ', {"name": "Ada"}),
        ('{"name": "Ada\nLo', {"name": "Ada\nLo"}),
        (f"{TEXT}\n```", ADA),
        ("{name}", None),
    ],
)
def test_an_object_is_shown_as_far_as_it_has_come(text, expected):
    assert read_partial_object(text, dict) == expected


def test_a_part_that_does_not_fit_yet_is_not_shown():
    assert read_partial_object('{"name": "Ada"', _person) is None
