"""What every form of rows can do."""

from __future__ import annotations

from typing import Protocol

from dashscope_oss.batch.rows.outcome import Failure
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
