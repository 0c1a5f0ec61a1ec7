"""What ``models --compare`` reads and prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic_core import from_json

from dashscope_oss.cli.reports.table import table
from dashscope_oss.errors import ConfigurationError
from dashscope_oss.registry.catalog import not_rows
from dashscope_oss.registry.differences import Difference, differences, not_listed
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.registry.public_lists import PublicList, read_list

HEAD = ("model", "differs in", "registry", "list", "")
_KNOWN = "known: sources differ"


def read_file(file: Path) -> PublicList:
    """Return the list that a file holds.

    Raises:
        ConfigurationError: if it cannot be read, or holds none.
    """
    try:
        data = from_json(file.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(
            f"{file} is not JSON ({error}); give the file of models.dev or litellm, or 'service'"
        ) from error
    try:
        return read_list(data)
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from error


def compare(records: Sequence[ModelInfo], public: PublicList) -> tuple[str, bool]:
    """Return the report, and whether the registry may need a change."""
    all_differences = differences(records, public, not_rows())
    unsettled = [difference for difference in all_differences if not difference.is_known]
    missing = not_listed(records, public)
    parts = [
        table(HEAD, list(map(_cells, all_differences))) if all_differences else "",
        _summary(public, all_differences, len(unsettled)),
        f"{len(missing)} hosted models of the registry are not in this list, which need not have "
        f"all: {', '.join(missing)}"
        if missing
        else "",
    ]
    return "\n\n".join(part for part in parts if part), bool(unsettled)


def _cells(difference: Difference) -> tuple[str, ...]:
    known = _KNOWN if difference.is_known else ""
    return (difference.id, difference.aspect, difference.ours, difference.theirs, known)


def _summary(public: PublicList, all_differences: Sequence[Difference], unsettled: int) -> str:
    compared = f"{len(public.models)} models by {public.name}"
    if not all_differences:
        return f"{compared}: the registry says the same."
    counts = Counter(difference.aspect for difference in all_differences)
    kinds = ", ".join(f"{count} {aspect}" for aspect, count in counts.items())
    known = len(all_differences) - unsettled
    return f"{compared}: {kinds}. Known to the registry: {known}, not known: {unsettled}."
