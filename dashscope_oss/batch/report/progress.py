"""A tally that is shown while a run goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from dashscope_oss.batch.report.displays import Display, choose_display
from dashscope_oss.batch.report.summary import Summary
from dashscope_oss.batch.report.tally import Tally
from dashscope_oss.registry.model_info import ModelInfo

UPDATE_SECONDS = 0.5


class Progress:
    """Shows how far a run is, and gives the table at the end.

    ::

        async with Progress(total=len(texts)) as progress:
            async for number, label in run(enumerate(texts), chain.ainvoke):
                progress.add(label)
        print(progress.summary)

    In a terminal it is a bar, in a notebook a cell, elsewhere a line every ten seconds. ``with``
    does where nothing is awaited; then only :meth:`add_counts` changes what is shown.

    Args:
        total: number of rows, if it is known.
        model_info: the model, for the cost in the table.
        display: what shows the counts; chosen by where the program runs if ``None``.

    Attributes:
        tally: the counts.
    """

    def __init__(
        self,
        total: int | None = None,
        *,
        model_info: ModelInfo | None = None,
        display: Display | None = None,
    ) -> None:
        self.tally = Tally(total)
        self._model_info = model_info
        self._display = display or choose_display()

    @property
    def summary(self) -> Summary:
        """The table."""
        return Summary(self.tally, self._model_info)

    def add(self, result: object) -> None:
        """Count what ``run`` yielded; see :meth:`Tally.add`."""
        self.tally.add(result)

    def add_counts(self, counts: Mapping[str, object]) -> None:
        """Count what another process has done; see :attr:`Tally.counts`."""
        self.tally.add_counts(counts)
        self._display.update(self.tally)

    def say(self, text: str) -> None:
        """Show a sentence that stays."""
        self._display.say(text)

    def __enter__(self) -> Self:
        self.tally.began_at = time.monotonic()
        self._display.update(self.tally)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.tally.ended_at = time.monotonic()
        self._display.close(self.tally)

    async def __aenter__(self) -> Self:
        self._updates = asyncio.create_task(self._update())
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._updates.cancel()
        await asyncio.gather(self._updates, return_exceptions=True)
        self.__exit__(kind, error, trace)

    async def _update(self) -> None:
        while True:
            self._display.update(self.tally)
            await asyncio.sleep(UPDATE_SECONDS)
