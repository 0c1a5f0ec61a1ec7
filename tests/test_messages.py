"""Neutral values: options of a call, and what a delta holds."""

import re
from dataclasses import dataclass, replace

import pytest

from dashscope_oss import Delta, Options, ToolCall, Usage, find_model


def test_options_are_merged_and_unknown_names_go_to_extra():
    options = Options(temperature=0.5, extra={"a": 1})
    merged = options.merged({"temperature": 0.7, "b": 2, "split_think": True})
    assert merged == Options(temperature=0.7, extra={"a": 1, "b": 2}, split_think=True)
    assert options.merged({}) is options


def test_options_of_an_object_are_its_attributes_of_the_same_names():
    @dataclass
    class Settings:
        temperature: float = 0.5
        top_k: int | None = None
        estimate_usage: bool = True
        other: int = 3

    assert Options.of(Settings()) == Options(temperature=0.5, estimate_usage=True)


@pytest.mark.parametrize(
    ("delta", "is_plain"),
    [
        (Delta(text="a"), True),
        (Delta(text="a", request_id="r"), True),
        (Delta(text="a", last=True), False),
        (Delta(text="a", reasoning="hm"), False),
        (Delta(text="a", tool_calls=(ToolCall(),)), False),
        (Delta(text="a", logprobs={}), False),
    ],
)
def test_a_plain_delta_holds_text_and_nothing_else_to_look_at(delta, is_plain):
    assert delta.is_plain is is_plain


def test_a_notebook_shows_usage_as_a_table():
    """A number that nobody reported is no number there either."""
    html = Usage(input_tokens=1200, cached_tokens=9, estimated=True)._repr_html_()
    assert rows_of(html) == {
        "input_tokens": "1,200",
        "output_tokens": "not reported",
        "cached_tokens": "9",
        "estimated": "yes",
    }


def test_a_notebook_shows_a_record_as_a_table():
    rows = rows_of(
        replace(find_model("ziya-llama-13b-v1"), notes=("<b>",), successors=())._repr_html_()
    )
    assert rows["context_window"] == "2,048"
    assert rows["template"] == "ziya"
    assert rows["max_output"] == "not stated"
    assert rows["successors"] == "none"
    assert rows["notes"] == "&lt;b&gt;"


def rows_of(html):
    return dict(re.findall(r"<th[^>]*>(.*?)</th><td[^>]*>(.*?)</td>", html))
