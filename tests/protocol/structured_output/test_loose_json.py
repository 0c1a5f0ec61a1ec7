"""Objects that are not written quite as JSON; ``answers.toml`` has those of real models."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashscope_oss.protocol.structured_output.loose_json import read_loose_object

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.none() | st.booleans() | st.integers() | texts
values = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, values, max_size=4)


@given(objects, st.booleans())
def test_json_is_read_as_json(json_object, ascii_only):
    text = json.dumps(json_object, ensure_ascii=ascii_only)
    assert read_loose_object(f"x{text} y", 1) == (json_object, len(text) + 1)


@given(objects, st.data())
def test_an_object_that_broke_off_is_never_read(json_object, data):
    text = json.dumps(json_object, ensure_ascii=False)
    cut = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises(ValueError, match="no JSON"):
        read_loose_object(text[:cut], 0)


@given(st.text(st.sampled_from("{}[]\"',:ab1 \n\\/#“”`"), max_size=30))
def test_a_text_is_read_or_refused_and_nothing_else(text):
    try:
        value, end = read_loose_object("{" + text, 0)
    except ValueError:
        return
    assert isinstance(value, dict)
    assert 0 < end <= len(text) + 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'{"a": "\ud83d\ude00 \u5b57",}', "😀 字"),
        (r'{"a": "\ud83d!",}', "\ud83d!"),
        (r"{'a': 'l\'été, l'hiver'}", "l'été, l'hiver"),
        ("{'a': '''it's'''}", "it's"),
        (r'{"a": "a backslash \x",}', r"a backslash \x"),
        ('{a: "say “yes”"}', "say “yes”"),
        ("{“a”: “say “yes” now”}", "say “yes” now"),
        ('{"a": "x"\n,"b": 1,}', "x"),
        ('{"a": "x" // why\n}', "x"),
        ('{"a": "x"\n"b": "y"}', "x"),
        ("{a: -1.5e3}", -1500.0),
    ],
)
def test_a_value_that_can_be_read_in_one_way(text, value):
    assert read_loose_object(text, 0)[0]["a"] == value


UNCLEAR = [
    '{"a": "x" "b": "y"}',
    '{"a": "one" or "two"}',
    '{"a": "x" y "b": "z"}',
    '{"a": ["b" "c"]}',
    '{"a": "a " b " c"}',
    "{a: 1 2}",
    "{a: 01}",
    "{a: 1e999}",
    "{a: yes}",
    "{a: ?}",
    "{a 1}",
    "{,}",
    "{a: 1,,}",
    "{a: [1 2]}",
    "{a: '''b}",
    '{a: "b\\',
    "{1: 2}",
    "[1]",
    "",
]


def test_a_text_that_could_mean_several_things_is_refused():
    assert [text for text in UNCLEAR if is_read(text)] == []


def is_read(text):
    try:
        read_loose_object(text, 0)
    except ValueError as error:
        return "no JSON" not in str(error)
    return True


@pytest.mark.parametrize("part", ['"', '" ', "/*", "\n", '"\n"', "\\", "'a", "“", "["])
def test_a_long_text_that_never_ends_is_refused(part):
    with pytest.raises((ValueError, RecursionError)):
        read_loose_object('{"a": ' + part * 20_000, 0)
