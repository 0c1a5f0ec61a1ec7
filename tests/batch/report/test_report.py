"""What a run tells its user while it goes on, and at the end."""

import asyncio
import io
import os
import re
import sys
from dataclasses import replace
from datetime import date

import pytest

from dashscope_oss import RateLimitError, Reply, Usage, UsageTable, find_model
from dashscope_oss.batch import Progress, Summary, Tally
from dashscope_oss.batch.report import displays
from dashscope_oss.batch.report.tally import duration

REPLY = Reply(text="a", usage=Usage(input_tokens=1000, output_tokens=200, total_tokens=1200))
PRICED = replace(find_model("glm-5"), price_in=0.004, price_out=0.02, priced_on=date(2026, 10, 9))


@pytest.fixture
def tally():
    """A run of ten rows after twenty seconds: two answered earlier, four now, one failed."""
    tally = Tally(10, earlier=2, began_at=100.0, ended_at=120.0)
    for result in (*[REPLY] * 4, RateLimitError("no")):
        tally.add(result)
    return tally


def test_the_line_has_rate_tokens_errors_and_time_left(tally):
    assert displays.line(tally) == (
        "7 of 10 rows, 0.2 a second, 4,800 tokens, RateLimitError 1, 12 s left"
    )


def test_without_a_total_there_is_no_time_left(tally):
    tally.total = None

    assert displays.line(tally) == "7 rows, 0.2 a second, 4,800 tokens, RateLimitError 1"


def test_before_the_first_answer_nothing_is_known():
    tally = Tally(10, began_at=0.0, ended_at=0.0)

    assert (tally.rate, tally.seconds_left) == (0.0, None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5900, "98 min"), (12_000, "3 h 20 min")],
)
def test_times_are_said_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_the_table_has_rows_tokens_errors_cost_and_rate(tally):
    tally.refusals, tally.earlier_failed = 3, 1

    assert str(Summary(tally, PRICED)).splitlines() == [
        "rows answered                 6 of 10",
        "answered earlier              2",
        "rows that failed              2 (RateLimitError 1; 1 earlier)",
        "tokens                        4,000 in, 800 out",
        f"cost                          0.03 CNY by the prices of {PRICED.priced_on}",
        "calls put off by the service  3",
        "time                          20 s",
        "rows a second                 0.2",
    ]


def test_tokens_that_nobody_counted_are_no_zero(tally):
    tally.add({"label": "good"})
    tally.add(replace(REPLY, usage=replace(REPLY.usage, estimated=True)))

    rows = dict(Summary(tally, PRICED).rows)

    assert rows["answers without counts"] == "2"
    assert rows["cost"].startswith("at least 0.03 CNY")


def test_half_a_count_is_a_count_that_is_missing(tally):
    tally.add(replace(REPLY, usage=Usage(output_tokens=100)))

    rows = dict(Summary(tally, PRICED).rows)

    assert (rows["tokens"], rows["answers without counts"]) == ("4,000 in, 900 out", "1")
    assert rows["cost"].startswith("at least")


@pytest.mark.parametrize(
    ("usage", "yuan"),
    [
        (Usage(1_000_000, 0, cached_tokens=500_000), "2.40"),
        (Usage(1_000_000, 0, cached_tokens=500_000, cache_creation_tokens=0), "2.20"),
        (Usage(1_000_000, 0, cache_creation_tokens=1_000_000), "5.00"),
        (Usage(0, 100_000, reasoning_tokens=90_000), "2.00"),
    ],
)
def test_the_cost_is_that_of_the_same_answers_in_a_usage_table(usage, yuan):
    """The cache counts at its own price, thoughts at that of the output; so in several parts."""
    part, whole, table = Tally(), Tally(1, began_at=0.0, ended_at=1.0), UsageTable()
    part.add(replace(REPLY, usage=usage))
    whole.add_counts(part.counts)
    table.add(PRICED, usage)

    assert dict(Summary(whole, PRICED).rows)["cost"].startswith(f"{yuan} CNY")
    assert f"{table.cost:.2f}" == yuan


def test_where_nobody_counted_there_is_no_figure():
    tally = Tally(2, began_at=0.0, ended_at=1.0)
    tally.add({"label": "good"})

    assert {"tokens", "cost"}.isdisjoint(dict(Summary(tally, PRICED).rows))
    assert "tokens" not in displays.line(tally)


def test_a_cost_that_is_not_known_is_left_out(tally):
    """A price is known if a dated source states it."""
    for model_info in (None, replace(PRICED, price_in=None), replace(PRICED, priced_on=None)):
        assert "cost" not in dict(Summary(tally, model_info).rows)


def test_a_notebook_shows_the_table_as_one(tally):
    html = Summary(tally)._repr_html_()
    assert repr(Summary(tally)) == str(Summary(tally))

    assert html.startswith("<table><tr><th")
    assert "<td>6 of 10</td>" in html


class Shown:
    """A display that keeps what it was shown."""

    def __init__(self):
        self.said, self.closed, self.saw_all = [], False, asyncio.Event()

    def update(self, tally):
        if tally.done == tally.total:
            self.saw_all.set()

    def say(self, text):
        self.said.append(text)

    def close(self, tally):
        self.closed = True


async def test_progress_counts_answers_and_errors_and_shows_them(monkeypatch):
    monkeypatch.setattr("dashscope_oss.batch.report.progress.UPDATE_SECONDS", 0)
    shown = Shown()
    async with Progress(3, display=shown) as progress:
        for result in (REPLY, RateLimitError("no"), {"label": "good"}):
            progress.add(result)
        progress.say("half way")
        await shown.saw_all.wait()

    assert (shown.said, shown.closed) == (["half way"], True)
    assert progress.tally.errors == {"RateLimitError": 1}
    assert "3 of 3" not in str(progress.summary)
    assert dict(progress.summary.rows)["rows answered"] == "2 of 3"


def test_without_a_terminal_there_is_a_line_now_and_then(tally, monkeypatch):
    stream = io.StringIO()
    lines = displays.choose_display(stream)
    lines.update(tally)
    assert stream.getvalue() == ""

    monkeypatch.setattr(displays, "LINE_SECONDS", 0)
    lines.update(tally)
    lines.say("a sentence")
    lines.close(tally)

    assert stream.getvalue().splitlines() == [
        displays.line(tally),
        "a sentence",
        displays.line(tally),
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_in_a_terminal_there_is_a_bar(tally):
    stream = Terminal()
    bar = displays.choose_display(stream)
    bar.update(tally)
    bar.say("a sentence")
    bar.close(tally)

    text = re.sub(r"\x1b\[[0-9;]*\w", "", stream.getvalue())
    assert "a sentence\n" in text
    assert re.search(r"7/10 .*4,800 tokens, RateLimitError 1", text)


def test_a_terminal_without_tqdm_has_lines(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)

    assert isinstance(displays.choose_display(Terminal()), displays.Lines)


def test_a_terminal_without_columns_has_lines(monkeypatch):
    """As in some containers, where a bar would show nothing at all."""
    monkeypatch.setattr(Terminal, "fileno", lambda _: 0)
    monkeypatch.setattr("os.get_terminal_size", lambda _: os.terminal_size((0, 0)))

    assert isinstance(displays.choose_display(Terminal()), displays.Lines)


def test_in_a_notebook_the_cell_shows_a_bar(tally, monkeypatch):
    """The last state is what stays in the file."""
    shown = []

    class Kernel:
        kernel = True

    class Handle:
        def update(self, data, *, raw):
            shown.append(data)

    monkeypatch.setattr("IPython.get_ipython", Kernel)
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: Handle())
    cell = displays.choose_display()
    cell.say("a sentence")
    cell.close(tally)

    assert shown[-1]["text/plain"] == f"a sentence\n{displays.line(tally)}"
    assert "<progress value='0.7000'" in shown[-1]["text/html"]
