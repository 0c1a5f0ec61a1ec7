"""Time that passes only while somebody sleeps."""


class Clock:
    """Stands in for ``time``; ``asleep`` for ``asyncio.sleep``."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.now += seconds

    @property
    def passed(self) -> float:
        return round(self.now - 1000.0, 6)
