"""Numbers for the calls of tools in one answer."""

from __future__ import annotations

from dataclasses import replace

from dashscope_oss.messages import ToolCall


class CallNumbers:
    """Numbers the calls of one answer, in the order in which they come."""

    def __init__(self) -> None:
        self._next = 0

    def numbered(self, call: ToolCall) -> ToolCall:
        """Return ``call`` with an index; where it has none, the next one of the whole answer."""
        if call.index is not None:
            return call
        self._next += 1
        return replace(call, index=self._next - 1)
