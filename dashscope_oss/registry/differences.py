"""In what a list of others differs from the registry. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.registry.public_lists import ListedModel, PublicList

Aspect: TypeAlias = Literal["new", "gone", "back", "window", "input", "output", "tools", "holds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that a list says otherwise than the registry.

    Attributes:
        id: the model.
        aspect: ``new``: the registry has no such model. ``gone``: the list has no such model, or
            says that it left. ``back``: the registry says that it left. Else the figure or the
            ability that differs; ``holds`` is what messages may hold.
        ours: what the registry says.
        theirs: what the list says.
        is_known: the record names the field as one on which the sources differ.
    """

    id: str
    aspect: Aspect
    ours: str
    theirs: str
    is_known: bool = False


def differences(
    records: Iterable[ModelInfo], public: PublicList, not_rows: Sequence[str] = ()
) -> list[Difference]:
    """Return all differences, in the order of the registry, then what is new.

    Args:
        records: the registry.
        public: the list.
        not_rows: patterns of ids that are no rows on purpose.
    """
    by_id = {record.id: record for record in records}
    of_records = [difference for record in by_id.values() for difference in _of(record, public)]
    return [*of_records, *_new(by_id, public, not_rows)]


def not_listed(records: Iterable[ModelInfo], public: PublicList) -> list[str]:
    """Return the hosted models of which a list that need not be complete says nothing."""
    if public.is_complete:
        return []
    return [m.id for m in records if m.status == "hosted" and m.id not in public.models]


def _new(
    by_id: Mapping[str, ModelInfo], public: PublicList, not_rows: Sequence[str]
) -> Iterator[Difference]:
    for id, listed in public.models.items():
        is_meant = any(fnmatchcase(id, pattern) for pattern in not_rows)
        if id not in by_id and listed.is_open is not False and not is_meant:
            yield Difference(id=id, aspect="new", ours="no row", theirs=_in_words(listed))


def _of(record: ModelInfo, public: PublicList) -> Iterator[Difference]:
    listed = public.models.get(record.id)
    has_left = public.is_complete if listed is None else listed.is_retired
    if has_left and record.status == "hosted":
        yield Difference(id=record.id, aspect="gone", ours="hosted", theirs="gone")
    if listed is None:
        return
    if record.status == "retired" and public.is_complete:
        ours = f"retired {record.retired_on}"
        yield Difference(
            id=record.id,
            aspect="back",
            ours=ours,
            theirs="listed",
            is_known="retired_on" in record.disputed,
        )
    yield from _figures(record, listed)
    yield from _abilities(record, listed)


def _figures(record: ModelInfo, listed: ListedModel) -> Iterator[Difference]:
    aspects: tuple[tuple[Aspect, str, int | None, int | None], ...] = (
        ("window", "context_window", record.context_window, listed.context_window),
        ("input", "max_input", record.input_limit, listed.max_input),
        ("output", "max_output", record.max_output, listed.max_output),
    )
    for aspect, field, ours, theirs in aspects:
        if theirs is not None and ours != theirs:
            yield Difference(
                id=record.id,
                aspect=aspect,
                ours=_count(ours),
                theirs=_count(theirs),
                is_known=_is_disputed(record, field),
            )


def _is_disputed(record: ModelInfo, field: str) -> bool:
    """Whether the record says so; the most input is the window if it states no other."""
    stated_field = record.input_limit_field if field == "max_input" else field
    return field in record.disputed or stated_field in record.disputed


def _abilities(record: ModelInfo, listed: ListedModel) -> Iterator[Difference]:
    if listed.tools is not None and listed.tools != record.tools:
        yield Difference(
            id=record.id,
            aspect="tools",
            ours=_yes(record.tools),
            theirs=_yes(listed.tools),
            is_known="tools" in record.disputed,
        )
    if any((m in record.modalities) != holds for m, holds in listed.modalities.items()):
        theirs = [m for m, holds in listed.modalities.items() if holds]
        yield Difference(
            id=record.id,
            aspect="holds",
            ours="+".join(record.modalities),
            theirs="+".join(theirs) or "text",
            is_known="modalities" in record.disputed,
        )


def _in_words(listed: ListedModel) -> str:
    """Return what a list says of a model, as a first draft of its row."""
    stated = {
        "window": _count(listed.context_window),
        "in": _count(listed.max_input),
        "out": _count(listed.max_output),
        "tools": _yes(listed.tools),
        "holds": "+".join(m for m, holds in listed.modalities.items() if holds) or "?",
    }
    return ", ".join(f"{name} {words}" for name, words in stated.items() if words != "?")


def _count(tokens: int | None) -> str:
    return "?" if tokens is None else f"{tokens:,}"


def _yes(flag: bool | None) -> str:
    return "?" if flag is None else "yes" if flag else "no"
