"""What all models used and cost, as a table."""

import sys
from dataclasses import replace
from datetime import date

import pytest

from dashscope_oss import Usage, UsageTable, find_model

PRICED = replace(find_model("glm-5"), price_in=0.004, price_out=0.016, priced_on=date(2026, 10, 9))
ZIYA = find_model("ziya-llama-13b-v1")


@pytest.fixture
def table():
    table = UsageTable()
    table.add(PRICED, Usage(1000, 500, cached_tokens=0), framework="LangChain")
    table.add(PRICED, Usage(2000, 0), framework="LangChain")
    table.add(PRICED, Usage(1000, 500, reasoning_tokens=20), is_billed=False)
    table.add(ZIYA, None, framework="LlamaIndex")
    table.add(ZIYA, Usage(5, 5, estimated=True), framework="LlamaIndex")
    return table


def test_calls_are_summed_by_framework_and_model(table):
    first, second, third = table.rows
    assert (first.framework, first.model, first.calls) == ("LangChain", "glm-5", 2)
    assert (first.input_tokens, first.output_tokens, first.cached_tokens) == (3000, 500, 0)
    assert (second.framework, second.reasoning_tokens) == ("client", 20)
    assert (third.calls, third.unreported) == (2, 2)


def test_what_nobody_reported_is_none_and_never_nought(table):
    first, _, third = table.rows
    assert first.reasoning_tokens is first.cache_creation_tokens is None
    assert third.input_tokens is third.output_tokens is None


def test_only_the_hosted_service_costs_anything(table):
    first, second, third = table.rows
    assert first.cost == pytest.approx(0.012 + 0.008)
    assert second.cost is third.cost is None
    assert table.cost == first.cost
    assert (first.priced_on, second.priced_on) == (date(2026, 10, 9), None)
    assert UsageTable().cost is None


TABLE = """\
framework  model             calls  without counts  tokens in  out  from cache  into cache  thought
LangChain  glm-5                 2               0      3,000  500           0           -        -
client     glm-5                 1               0      1,000  500           -           -       20
LlamaIndex ziya-llama-13b-v1     2               2          -    -           -           -        -
"""


def test_it_is_shown_as_a_table(table):
    lines = repr(table).splitlines()
    cells = [line.split() for line in lines]
    costs = [
        ["cost", "(CNY)", "prices", "of"],
        ["0.0200", "2026-10-09"],
        ["not", "known", "-"],
        ["not", "known", "-"],
    ]
    expected = [line.split() for line in TABLE.splitlines()]
    assert cells == [row + cost for row, cost in zip(expected, costs, strict=True)]
    assert len(set(map(len, lines))) == 1
    assert repr(UsageTable()).startswith("framework")


def test_a_notebook_shows_it_as_html(table):
    table.add(replace(ZIYA, id="<b>"), None)
    html = table._repr_html_()
    assert html.startswith("<table><tr><th>framework</th>")
    assert "<td>3,000</td>" in html
    assert "<td>&lt;b&gt;</td>" in html


def test_it_is_a_data_frame(table):
    pandas = pytest.importorskip("pandas")
    frame = table.to_pandas()
    assert list(frame["calls"]) == [2, 1, 2]
    assert frame["cost"].sum() == pytest.approx(0.02)
    assert frame.loc[2, "input_tokens"] is pandas.NA
    assert list(UsageTable().to_pandas().columns) == list(frame.columns)


def test_without_pandas_it_says_what_to_install(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="to_pandas\\(\\) needs pandas: pip install pandas"):
        table.to_pandas()
