"""Deltas to replies and back: what the pieces of a streamed answer are together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dashscope_oss.messages import Delta, Json, Reply, SearchResult, ToolCall


def join_deltas(deltas: Sequence[Delta]) -> Reply:
    """Return the whole reply that the deltas of a finished stream make up."""
    last = deltas[-1]
    return Reply(
        text="".join(delta.text for delta in deltas),
        reasoning="".join(delta.reasoning for delta in deltas),
        tool_calls=join_tool_calls(call for delta in deltas for call in delta.tool_calls),
        finish_reason=last.finish_reason,
        usage=last.usage,
        request_id=last.request_id,
        served_by=last.served_by,
        logprobs=join_logprobs(delta.logprobs for delta in deltas),
        search_results=_newest_results(deltas),
        images=tuple(image for delta in deltas for image in delta.images),
        raw=last.raw,
    )


def extend_reply(reply: Reply, delta: Delta) -> Reply:
    """Return ``reply`` with what ``delta`` added: the answer so far.

    Its log probabilities are left out; those of a stream come with each delta.
    """
    return Reply(
        text=reply.text + delta.text,
        reasoning=reply.reasoning + delta.reasoning,
        tool_calls=join_tool_calls((*reply.tool_calls, *delta.tool_calls)),
        finish_reason=delta.finish_reason,
        usage=delta.usage,
        request_id=delta.request_id,
        served_by=delta.served_by,
        search_results=delta.search_results or reply.search_results,
        images=reply.images + delta.images,
        raw=delta.raw,
    )


def delta_of(reply: Reply) -> Delta:
    """Return a reply that came whole, though a stream was asked for, as the only delta."""
    return Delta(
        text=reply.text,
        reasoning=reply.reasoning,
        # The calls are whole: whatever index they state, no two of them are to be joined.
        tool_calls=tuple(replace(call, index=place) for place, call in enumerate(reply.tool_calls)),
        finish_reason=reply.finish_reason,
        usage=reply.usage,
        request_id=reply.request_id,
        served_by=reply.served_by,
        logprobs=reply.logprobs,
        search_results=reply.search_results,
        images=reply.images,
        raw=reply.raw,
        last=True,
    )


def join_tool_calls(pieces: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
    """Return the calls that ``pieces`` make up; pieces of one ``index`` belong together."""
    calls: dict[int, ToolCall] = {}
    for piece in pieces:
        index = piece.index if piece.index is not None else len(calls)
        so_far = calls.get(index, ToolCall(index=index))
        calls[index] = ToolCall(
            id=so_far.id or piece.id,
            name=so_far.name or piece.name,
            arguments=so_far.arguments + piece.arguments,
            index=index,
        )
    return tuple(calls[index] for index in sorted(calls))


def _newest_results(deltas: Sequence[Delta]) -> tuple[SearchResult, ...]:
    """The web pages that were named last: each list is whole."""
    lists = (delta.search_results for delta in reversed(deltas))
    return next(filter(None, lists), ())


def join_logprobs(pieces: Iterable[Json | None]) -> Json | None:
    """Return the log probabilities that ``pieces`` make up: their lists, one behind the other."""
    joined: dict[str, object] = {}
    for piece in pieces:
        for name, value in (piece or {}).items():
            earlier = joined.get(name)
            are_lists = isinstance(earlier, list) and isinstance(value, list)
            joined[name] = [*earlier, *value] if are_lists else value  # type: ignore[misc]
    return joined or None
