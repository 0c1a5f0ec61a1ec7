"""Servers that allow so many calls a minute, each with its own way to count them."""

import asyncio
from collections import deque

from dashscope_oss import RateLimitError


class Server:
    """Answers after ``latency`` seconds; refuses at once what is over its limit."""

    def __init__(self, latency=0.5, per_minute=600):
        self.latency, self.per_minute = latency, per_minute
        self.granted = self.refused = 0

    async def __call__(self, question):
        now = asyncio.get_running_loop().time()
        if not self.allows(now):
            self.refused += 1
            await asyncio.sleep(0.02)
            raise RateLimitError("slower", status_code=429, retry_after=self.retry_after(now))
        self.granted += 1
        await asyncio.sleep(self.latency)
        return question

    def retry_after(self, now):
        return None

    @property
    def refused_share(self):
        return self.refused / (self.granted + self.refused)


class ByTheMinute(Server):
    """Counts from the full minute on."""

    minute, used = -1, 0

    def allows(self, now):
        if now // 60 != self.minute:
            self.minute, self.used = now // 60, 0
        self.used += 1
        return self.used <= self.per_minute


class ByTheMinuteAndSaysWhen(ByTheMinute):
    def retry_after(self, now):
        return 60 - now % 60


class ByTheLastMinute(Server):
    """Counts the granted calls of the last sixty seconds."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.times = deque()

    def allows(self, now):
        while self.times and self.times[0] <= now - 60:
            self.times.popleft()
        if len(self.times) < self.per_minute:
            self.times.append(now)
            return True
        return False


class EvenlySpread(Server):
    """A bucket of tokens: a reserve for a second of calls, filled at the allowed rate."""

    level, at = None, 0.0

    def allows(self, now):
        rate = self.per_minute / 60
        self.level = rate if self.level is None else min(rate, self.level + (now - self.at) * rate)
        self.at = now
        if self.level < 1:
            return False
        self.level -= 1
        return True
