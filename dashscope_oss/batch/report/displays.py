"""How a run is shown while it goes on: a bar, lines, or a cell of a notebook."""

from __future__ import annotations

import os
import sys
import time
from typing import Protocol, TextIO

from dashscope_oss.batch.report.tally import Tally, duration

LINE_SECONDS = 10.0
"""How often a line is written where there is no terminal."""


class Display(Protocol):
    """Shows a tally."""

    def update(self, tally: Tally) -> None:
        """Show what the counts are now."""

    def say(self, text: str) -> None:
        """Show a sentence that stays."""

    def close(self, tally: Tally) -> None:
        """Show the counts a last time."""


def choose_display(stream: TextIO | None = None) -> Display:
    """Return what fits where the program runs: a notebook, a terminal, or neither.

    The bar needs tqdm, of the extra ``batch``; without it there are lines.
    """
    stream = stream or sys.stderr
    if _is_notebook():
        return NotebookCell()
    if stream.isatty() and _has_width(stream):
        try:
            return Bar(stream)
        except ImportError:
            pass
    return Lines(stream)


class Bar:
    """A bar in a terminal."""

    def __init__(self, stream: TextIO) -> None:
        from tqdm import tqdm  # noqa: PLC0415 - of the extra

        self._bar = tqdm(file=stream, unit=" rows", dynamic_ncols=True, smoothing=0.1)

    def update(self, tally: Tally) -> None:
        """Show what the counts are now."""
        self._bar.total = tally.total
        self._bar.initial = tally.earlier + tally.earlier_failed
        self._bar.set_postfix_str(_details(tally), refresh=False)
        self._bar.n = tally.done
        self._bar.refresh()

    def say(self, text: str) -> None:
        """Show a sentence above the bar."""
        self._bar.write(text, file=self._bar.fp)

    def close(self, tally: Tally) -> None:
        """Show the counts a last time."""
        self.update(tally)
        self._bar.close()


class Lines:
    """A line every ten seconds, for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = time.monotonic()

    def update(self, tally: Tally) -> None:
        """Write a line if ten seconds have passed since the last."""
        if time.monotonic() - self._last >= LINE_SECONDS:
            self._last = time.monotonic()
            self.say(line(tally))

    def say(self, text: str) -> None:
        """Write a sentence."""
        print(text, file=self._stream, flush=True)

    def close(self, tally: Tally) -> None:
        """Write a last line."""
        self.say(line(tally))


class NotebookCell:
    """A bar below a cell of a notebook."""

    def __init__(self) -> None:
        from IPython.display import display  # noqa: PLC0415 - it is there in a notebook only

        self._said: list[str] = []
        nothing = {"text/plain": ""}
        self._handle = display(nothing, raw=True, display_id=True)  # type: ignore[no-untyped-call] # IPython's

    def update(self, tally: Tally) -> None:
        """Show what the counts are now."""
        share = min(tally.done / tally.total, 1) if tally.total else 0.0
        bar = f"<progress value='{share:.4f}' style='width:60%'></progress>"
        text = "\n".join((*self._said, line(tally)))
        self._handle.update({"text/plain": text, "text/html": f"{bar}<pre>{text}</pre>"}, raw=True)

    def say(self, text: str) -> None:
        """Show a sentence above the counts."""
        self._said.append(text)

    def close(self, tally: Tally) -> None:
        """Show the counts a last time."""
        self.update(tally)


def line(tally: Tally) -> str:
    """Return the counts in one line."""
    total = "" if tally.total is None else f" of {tally.total:,}"
    left = tally.seconds_left
    parts = [
        f"{tally.done:,}{total} rows",
        f"{tally.rate:,.1f} a second",
        _details(tally),
        f"{duration(left)} left" if left else "",
    ]
    return ", ".join(part for part in parts if part)


def _details(tally: Tally) -> str:
    tokens = tally.input_tokens + tally.output_tokens
    counted = f"{tokens:,} tokens" if tokens else ""
    put_off = f"{tally.refusals:,} put off" if tally.refusals else ""
    return ", ".join(filter(None, (counted, put_off, tally.error_text)))


def _has_width(terminal: TextIO) -> bool:
    """Whether a bar has room: the terminals of some containers say that they have no columns."""
    try:
        return os.get_terminal_size(terminal.fileno()).columns > 0
    except OSError:  # one of another kind, that tqdm may know
        return True


def _is_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
