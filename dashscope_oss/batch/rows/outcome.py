"""The outcome of a row, as the checkpoint keeps it: the reply, or what went wrong."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TypeAlias

from pydantic_core import from_json, to_json

from dashscope_oss.errors import DashScopeError
from dashscope_oss.messages import Reply, ToolCall, Usage


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a row has no answer.

    Attributes:
        kind: the error's class, such as ``ContextLengthError``.
        message: what happened and what to do.
        code: the service's code.
        status_code: HTTP status, ``None`` if the service was not asked or did not answer.
        request_id: the service's id of the call.
    """

    kind: str
    message: str
    code: str | None = None
    status_code: int | None = None
    request_id: str | None = None

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Return what is kept of an error."""
        kind, message = type(error).__name__, str(error) or repr(error)
        if not isinstance(error, DashScopeError):
            return cls(kind, message)
        return cls(kind, message, error.code, error.status_code, error.request_id)


Outcome: TypeAlias = Reply | Failure

_REPLY_TEXTS = ("reasoning", "finish_reason", "request_id", "served_by", "logprobs")


def outcome_of(result: Reply | Exception) -> Outcome:
    """Return what is kept of an answer or an error."""
    return Failure.of(result) if isinstance(result, Exception) else result


def encode(outcome: Outcome) -> bytes:
    """Return an outcome as JSON; what is empty is left out."""
    if isinstance(outcome, Failure):
        return to_json(_filled(asdict(outcome)))
    fields: dict[str, object] = {name: getattr(outcome, name) for name in _REPLY_TEXTS}
    fields["tool_calls"] = [_filled(asdict(call)) for call in outcome.tool_calls]
    fields["usage"] = outcome.usage and _filled(asdict(outcome.usage))
    return to_json({"text": outcome.text, **_filled(fields)})


def decode(data: bytes) -> Outcome:
    """Return the outcome that :func:`encode` wrote."""
    fields = from_json(data)
    if "kind" in fields:
        return Failure(**fields)
    calls, usage = fields.pop("tool_calls", ()), fields.pop("usage", None)
    return Reply(
        **fields,
        tool_calls=tuple(ToolCall(**call) for call in calls),
        usage=Usage(**usage) if usage else None,
    )


def _filled(values: dict[str, object]) -> dict[str, object]:
    return {n: v for n, v in values.items() if v or (v == 0 and v is not False)}
