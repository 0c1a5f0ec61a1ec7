"""Ends a run with a table: how many checks of each kind passed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

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


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Print the table behind all that pytest says; skipped checks are not counted."""
    yield
    passed = _counted(terminalreporter, "passed")
    failed = _counted(terminalreporter, "failed") + _counted(terminalreporter, "error")
    terminalreporter.write_sep("=", "checks passed")
    for kind, what in KINDS.items():
        terminalreporter.write_line(_line(what, passed[kind], passed[kind] + failed[kind]))
    terminalreporter.write_line(_line("all", passed.total(), passed.total() + failed.total()))


def _counted(reporter: pytest.TerminalReporter, outcome: str) -> Counter[str]:
    """How many tests of each kind ended so."""
    names = (getattr(report, "nodeid", "") for report in reporter.stats.get(outcome, ()))
    return Counter(found[1] for name in names if (found := re.search(r"::test_(b\d\d)_", name)))


def _line(what: str, passed: int, of: int) -> str:
    return f"| {what} | {passed}/{of} |" if of else f"| {what} | – |"
