"""Ends a run of this folder alone with a table: how many checks of each kind passed."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

# What the names of tests begin with, and what they check.
KINDS = {
    "b01": "a refusal raises",
    "b02": "… from query and chat engines",
    "b03": "… ends agents on the first call",
    "b04": "a failing stream raises",
    "b05": "tokens counted once, none for failures",
    "b06": "agents take arguments in pieces",
    "b07": "white space in arguments kept",
    "b08": "blocking streams keep tool calls",
    "b09": "null content",
    "b10": "settings of a call are sent",
    "b11": "repeated text not doubled",
    "b12": "`output.text` is read",
    "b13": "key from the environment; `from_dict`",
    "b14": "key in no form of the object",
    "b15": "metadata is the model's own",
    "b16": "thoughts: block and stream",
    "b17": "tool call blocks both ways",
    "b18": "images sent or refused",
    "b19": "a tool can be required",
    "b20": "tool schemas are whole",
    "b21": "misspelled settings refused",
    "b22": "prompt function used",
    "b23": "retry after 429",
    "b24": "no pinned dependency",
    "b25": "only what was set is sent",
}


@pytest.fixture(autouse=True)
def closed_loop() -> Iterator[None]:
    """LlamaIndex's blocking methods make an event loop if there is none, and never close it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Print the table after pytest's own summary; skipped checks are not counted."""
    yield
    if terminalreporter.config.rootpath != Path(__file__).parent:
        return  # a part of a larger run
    passed = _count_by_kind(terminalreporter, "passed")
    failed = _count_by_kind(terminalreporter, "failed")
    failed += _count_by_kind(terminalreporter, "error")
    terminalreporter.write_sep("=", "checks passed")
    for kind, title in KINDS.items():
        terminalreporter.write_line(_row(title, passed[kind], passed[kind] + failed[kind]))
    terminalreporter.write_line(_row("all", passed.total(), passed.total() + failed.total()))


def _count_by_kind(reporter: pytest.TerminalReporter, outcome: str) -> Counter[str]:
    """How many tests of each kind had this outcome."""
    names = (getattr(report, "nodeid", "") for report in reporter.stats.get(outcome, ()))
    return Counter(match[1] for name in names if (match := re.search(r"::test_(b\d\d)_", name)))


def _row(title: str, passed: int, total: int) -> str:
    return f"| {title} | {passed}/{total} |" if total else f"| {title} | – |"
