"""What is kept of each request: an entry, and its line in the access log."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic_core import to_json

from dashscope_oss.gateway.engines.engine_request import EngineRequest
from dashscope_oss.gateway.http.http_io import Exchange
from dashscope_oss.messages import Delta
from dashscope_oss.tokens import estimates

GONE = 499
_log = logging.getLogger("dashscope_oss.access")


@dataclass(slots=True)
class Entry:
    """What is known of one request. It never holds a prompt, an answer or a key.

    Attributes:
        call: the request and its answer.
        caller: the name of the key that was shown; "" if none is asked for.
        model: the model asked, once it is known that it is served.
        upstream: who answers, if the engine has several.
        estimated_tokens: in and out; only filled where a limit needs it.
        seconds: how long it took; 0 until it has ended.
    """

    call: Exchange
    caller: str = ""
    model: str = ""
    upstream: str = ""
    estimated_tokens: int = 0
    seconds: float = 0.0

    def end(self) -> None:
        """Stop the clock."""
        self.seconds = time.perf_counter() - self.call.began

    @property
    def status(self) -> int:
        """The true status: that of an error event, and 499 if the caller left before the end."""
        return GONE if self.call.gone or self.call.status is None else self.call.status

    @property
    def first_seconds(self) -> float | None:
        """Seconds until the engine gave its first piece, if it gave one."""
        first = self.call.first_piece
        return None if first is None else first - self.call.began

    @property
    def input_tokens(self) -> int | None:
        """Tokens of the prompt as the engine counts them, if it does."""
        return None if self.call.usage is None else self.call.usage.input_tokens

    @property
    def output_tokens(self) -> int | None:
        """Tokens of the answer as the engine counts them, if it does."""
        return None if self.call.usage is None else self.call.usage.output_tokens

    @property
    def used_tokens(self) -> int:
        """Tokens to charge: those reported, else an estimate."""
        if self.input_tokens is None or self.output_tokens is None:
            return self.estimated_tokens
        return self.input_tokens + self.output_tokens


def log(entry: Entry) -> None:
    """Write the entry as one line of JSON to the logger ``dashscope_oss.access``, at INFO."""
    if _log.isEnabledFor(logging.INFO):
        _log.info("%s", line(entry))


def line(entry: Entry) -> str:
    """Return the entry as JSON; what does not apply is left out."""
    call = entry.call
    fields = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "request_id": call.request_id,
        "key": entry.caller or None,
        "method": call.method,
        "path": call.path[:200],
        "model": entry.model or None,
        "stream": call.wants_stream if entry.model else None,
        "status": entry.status,
        "code": call.code or None,
        "seconds": _rounded(entry.seconds),
        "first_token_seconds": _rounded(entry.first_seconds),
        "input_tokens": entry.input_tokens,
        "output_tokens": entry.output_tokens,
        "upstream": entry.upstream or None,
        "served_by": call.served_by,
    }
    shown = {name: value for name, value in fields.items() if value is not None}
    return to_json(shown, inf_nan_mode="null").decode()


async def followed(
    entry: Entry, job: EngineRequest, generated: AsyncGenerator[Delta, None], *, estimate: bool
) -> AsyncGenerator[Delta, None]:
    """Pass the pieces on, and note who answers and, with ``estimate``, about how many tokens."""
    family = job.model_info.tokenizer
    async with aclosing(generated) as deltas:
        async for delta in deltas:
            entry.call.served_by = delta.served_by or entry.call.served_by
            entry.upstream = str(delta.raw.get("upstream", "")) or entry.upstream
            if estimate:
                entry.estimated_tokens = entry.estimated_tokens or _given(job)
                entry.estimated_tokens += estimates.estimate(delta.reasoning + delta.text, family)
            yield delta


def _given(job: EngineRequest) -> int:
    texts = [job.prompt] if job.prompt is not None else [m.content for m in job.messages or ()]
    return sum(estimates.estimate(text, job.model_info.tokenizer) for text in texts)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
