"""Numbers for the calls of tools in one answer."""

from __future__ import annotations

from dataclasses import replace

from dashscope_oss.messages import ToolCall


class CallNumbers:
    """Numbers the calls of one answer from 0, in the order in which they come.

    Some servers count from 1; OpenAI's SDK fails if a number is left out.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._next = 0

    def numbered(self, call: ToolCall) -> ToolCall:
        """Return a call, or a piece of one, with its number; without an index it is a new call."""
        number = self._next if call.index is None else self._numbers.get(call.index, self._next)
        if number == self._next:
            self._next += 1
        if call.index is not None:
            self._numbers[call.index] = number
        return call if number == call.index else replace(call, index=number)
