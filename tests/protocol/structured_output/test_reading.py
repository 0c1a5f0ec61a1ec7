"""Which object in the text of a model is its answer."""

from __future__ import annotations

import json

import pytest

from dashscope_oss.protocol.structured_output import read_object, read_partial_object

ADA = {"name": "Ada", "born": 1815}
TEXT = '{"name": "Ada", "born": 1815}'


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


DRAFT = '{"name": "Bob", "born": 1}'
SCHEMA_TEXT = '{"type": "object", "properties": {"name": {}, "born": {}}, "required": ["born"]}'


@pytest.mark.parametrize(
    "text",
    [
        f"<think>An example: {DRAFT}</think>{TEXT}",
        f"<thinking>{DRAFT}</thinking>\n{TEXT}",
        f"I think of {DRAFT}</think>\n\n{TEXT}",
        f"Draft: {DRAFT}\nFinal answer: {TEXT}",
        f"{SCHEMA_TEXT}\n{TEXT}",
        f"```json\n{SCHEMA_TEXT}\n```\n```json\n{TEXT}\n```",
        f"{TEXT}\nThis follows the schema {{...}}.",
        f"{TEXT} It's the answer of {{name}}.",
        f"{TEXT}<think>Was {DRAFT} better?",
    ],
)
def test_the_last_object_that_fits_is_the_answer_and_thoughts_are_none(text):
    assert read_object(text, _person) == ADA


@pytest.mark.parametrize(
    "text",
    [
        "{'name': 'Ada', 'born': 1815}",
        '{"name": "Ada", "born": 1815,}',
        '{"name": "Ada", // her name\n "born": 1815}',
        '{"name": "Ada", /* when? */ "born": 1815 # a year\n}',
        "{name: 'Ada', born: 1815}",
        '{\n  "name": "Ada",\n  "born": 1815,\n}',
    ],
)
def test_loosely_written_objects_are_read(text):
    assert read_object(text, dict) == ADA


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{'a': True, 'b': False, 'c': None}", {"a": True, "b": False, "c": None}),
        (
            '{"a": "True, None // no comment", "b": [1, 2,]}',
            {"a": "True, None // no comment", "b": [1, 2]},
        ),
        ("{'say': 'it\\'s \"so\"'}", {"say": 'it\'s "so"'}),
        ('{"url": "http://a/b#c"}', {"url": "http://a/b#c"}),
        ("{'url': 'http://a/b', }", {"url": "http://a/b"}),
    ],
)
def test_pythons_words_and_quotes_are_read_and_strings_stay_as_they_are(text, expected):
    assert read_object(text, dict) == expected


@pytest.mark.parametrize(
    "text",
    [
        "<think>" + TEXT,
        TEXT + "</think>I do not know.",
        '{"born": 1815, "name": Ada}',
        '{"born": 1815 "name": "Ada"}',
        "{'name': 'the Adas' name', 'born': 1815}",
        '{"name": "Ada", "parents": {"born": 1815}, "x": }',
    ],
)
def test_what_could_only_be_guessed_is_no_object(text):
    """A wrong object would be worse than a second question."""
    with pytest.raises(ValueError, match="no whole JSON object"):
        read_object(text, dict)


@pytest.mark.parametrize(
    "text",
    [
        f'{{"name": "Person", "arguments": {TEXT}}}',
        f'{{"answer": {TEXT}, "note": {{"done": true}}}}',
        f'{{"person": {TEXT}, "schema": 1, "properties": {DRAFT}}}',
    ],
)
def test_an_object_that_is_wrapped_in_another_is_found(text):
    assert read_object(text, _ada) == ADA


def _ada(json_object):
    if json_object.keys() != ADA.keys():
        raise ValueError("not a person")
    return json_object


@pytest.mark.parametrize(
    "text",
    [
        f'{{"first": {TEXT}, "second": {DRAFT}}}',
        f'{{"type": "object", "properties": {TEXT}}}',
        f'{{"a": {{"b": {TEXT}}}}}',
    ],
)
def test_which_of_several_wrapped_objects_is_meant_is_not_guessed(text):
    with pytest.raises(ValueError, match="not a person"):
        read_object(text, _ada)


@pytest.mark.parametrize("text", [json.dumps(TEXT), f"\n{json.dumps(TEXT)} "])
def test_an_answer_that_is_a_string_of_json_is_read(text):
    assert read_object(text, dict) == ADA


@pytest.mark.parametrize("text", [f'"Ada" {TEXT} "born"', f'"{TEXT}"'])
def test_an_object_between_quotes_is_found_as_between_words(text):
    assert read_object(text, dict) == ADA


def test_the_error_is_that_of_the_last_object():
    with pytest.raises(ValueError, match="born is missing"):
        read_object('{"name": "Ada"} {"name": "Bob"}', _person)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"<think>{DRAFT}", None),
        (f"<think>{DRAFT}</think>{{", {}),
        (f'{DRAFT} better: {{"name": "A', {"name": "A"}),
        (f"{DRAFT} better: ", {"name": "Bob", "born": 1}),
    ],
)
def test_the_newest_object_is_shown_as_far_as_it_has_come(text, expected):
    assert read_partial_object(text, dict) == expected


@pytest.mark.parametrize("text", ["{" * 50_000, '{"' * 20_000, "{'a': " * 20_000, "'{" * 20_000])
def test_many_braces_that_close_nowhere_are_given_up(text):
    with pytest.raises(ValueError, match="no whole JSON object"):
        read_object(text, dict)


def test_a_whole_object_that_does_not_fit_is_not_shown():
    assert read_partial_object('{"name": "Ada"} and', _person) is None
