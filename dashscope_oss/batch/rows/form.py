"""What every form of rows can do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from dashscope_oss.batch.files.interface import Writer
from dashscope_oss.batch.rows.outcome import Failure, Outcome
from dashscope_oss.messages import Json, Reply
from dashscope_oss.protocol.request import Request


class Form(Protocol):
    """Makes requests of rows, and rows of their outcomes."""

    @property
    def settings(self) -> Json:
        """What makes a run: with other settings the same rows are another run."""

    def request(self, values: Json) -> Request:
        """Return the request of a row.

        Raises:
            DashScopeError: if it cannot be asked.
        """

    def answer_columns(self) -> list[str]:
        """Return the columns of an answer; their common beginning comes first."""

    def answered(self, number: int, values: Json, reply: Reply) -> Json:
        """Return the row that the output has for an answered row."""

    def failed(self, number: int, values: Json | None, failure: Failure) -> Json:
        """Return what is reported of a row without an answer.

        Args:
            number: the row's.
            values: the row, ``None`` if it could not be read.
            failure: why it has no answer.
        """


def write_outcomes(
    form: Form,
    outcomes: Iterable[tuple[int, Json | None, Outcome]],
    answered: Writer,
    failed: Writer,
) -> int:
    """Write each row to where it belongs; return how many have no answer.

    Args:
        form: makes rows of outcomes.
        outcomes: number, values and outcome of each row; the values of one that could not be read
            are ``None``.
        answered: takes the rows with an answer.
        failed: takes what is reported of the others.
    """
    failures = 0
    for number, values, outcome in outcomes:
        if isinstance(outcome, Failure):
            failures += 1
            failed.write(form.failed(number, values, outcome))
        else:
            answered.write(form.answered(number, values or {}, outcome))
    return failures
