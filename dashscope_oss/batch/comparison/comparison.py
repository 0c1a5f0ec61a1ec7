"""The answers of several models to the same prompts: a table, a data frame, a picture."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from dashscope_oss.messages import Reply, Usage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

MOST_CHARACTERS = 500
"""Of an answer, in the table of a notebook; ``to_pandas`` has all of it."""


@dataclass(frozen=True, slots=True)
class ComparedAnswer:
    """What one model said to one prompt.

    Attributes:
        model: the model's id.
        prompt: the text, or the last message of the conversation.
        reply: the answer, or ``None`` if the call failed.
        error: why it failed.
        seconds: how long the answer took; ``None`` if the call failed.
    """

    model: str
    prompt: str
    reply: Reply | None = None
    error: Exception | None = None
    seconds: float | None = None

    @property
    def text(self) -> str:
        """The answer, or the error in words."""
        return self.reply.text if self.reply else f"{type(self.error).__name__}: {self.error}"

    @property
    def usage(self) -> Usage:
        """Token counts; all are ``None`` where nobody reported any."""
        return self.reply.usage or Usage() if self.reply else Usage()

    @property
    def figures(self) -> str:
        """Seconds, tokens, and the weights that answered, in a line."""
        if self.reply is None:
            return ""
        tokens = self.usage.output_tokens
        counts = "tokens not reported" if tokens is None else f"{tokens:,} tokens"
        served_by = f", by {self.reply.served_by}" if self.reply.served_by else ""
        return f"{self.seconds:.2f} s, {counts}{served_by}"


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """Every model's answer to every prompt. A notebook shows it as a table, a console as text.

    Attributes:
        models: ids of the models; the columns.
        answers: prompt after prompt, and in each the models in their order.
    """

    models: tuple[str, ...]
    answers: tuple[ComparedAnswer, ...]

    @property
    def rows(self) -> list[tuple[ComparedAnswer, ...]]:
        """The answers to each prompt."""
        width = len(self.models)
        starts = range(0, len(self.answers), width or 1)
        return [self.answers[start : start + width] for start in starts]

    def to_pandas(self) -> DataFrame:
        """Return a data frame with a row for each answer. It needs pandas.

        What nobody reported is ``<NA>``, and never 0.
        """
        pandas = _needed("pandas", "to_pandas")
        frame: DataFrame = pandas.DataFrame([_record(answer) for answer in self.answers])
        return frame.astype({"input_tokens": "Int64", "output_tokens": "Int64"})

    def plot(self) -> Axes:
        """Draw the seconds of each answer, a row for each model. It needs matplotlib.

        Returns:
            the axes, for titles and scales of yours.
        """
        pyplot = _needed("matplotlib.pyplot", "plot")
        size = (8, 1.5 + 0.5 * len(self.models))
        axes: Axes = pyplot.subplots(figsize=size, layout="constrained")[1]
        for row in self.rows:
            seconds = {answer.model: answer.seconds for answer in row if answer.seconds is not None}
            axes.scatter(
                list(seconds.values()),
                list(seconds),
                label=_shortened(row[0].prompt, 40),
                alpha=0.8,
            )
        axes.set(xlabel="seconds to the whole answer")
        axes.set_xlim(left=0)
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
        axes.legend(fontsize="small")
        return axes

    def __repr__(self) -> str:
        blocks = []
        for row in self.rows:
            lines = (f"[{answer.model}] {answer.text}" for answer in row)
            blocks.append("\n".join([f"> {row[0].prompt}", *lines]))
        return "\n\n".join(blocks)

    def _repr_html_(self) -> str:
        head = "".join(f"<th {_STYLE}>{escape(model)}</th>" for model in self.models)
        rows = "".join(map(_row_html, self.rows))
        return f"<table><tr><th></th>{head}</tr>{rows}</table>"


def _record(answer: ComparedAnswer) -> dict[str, object]:
    reply = answer.reply
    return {
        "prompt": answer.prompt,
        "model": answer.model,
        "answer": reply.text if reply else None,
        "seconds": answer.seconds,
        "input_tokens": answer.usage.input_tokens,
        "output_tokens": answer.usage.output_tokens,
        "finish_reason": reply.finish_reason if reply else None,
        "served_by": reply.served_by if reply else None,
        "error": answer.error,
    }


def _row_html(row: tuple[ComparedAnswer, ...]) -> str:
    cells = "".join(f"<td {_STYLE}>{_cell_html(answer)}</td>" for answer in row)
    return f"<tr><th {_STYLE}>{escape(row[0].prompt)}</th>{cells}</tr>"


def _cell_html(answer: ComparedAnswer) -> str:
    text = escape(_shortened(answer.text, MOST_CHARACTERS)).replace("\n", "<br>")
    if answer.reply is None:
        return f"<em>{text}</em>"
    return f"{text}<br><small style='opacity:0.6'>{escape(answer.figures)}</small>"


_STYLE = "style='text-align:left; vertical-align:top; white-space:normal; max-width:24em'"


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} …"


def _needed(module: str, method: str) -> ModuleType:
    """Import what only notebooks have, or say what to install."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(f"{method}() needs {package}: pip install {package}") from error
