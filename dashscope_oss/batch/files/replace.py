"""A file that has its name only once it is whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dashscope_oss.errors import DashScopeError


@contextmanager
def replacing(path: Path, *, part: str = "part") -> Iterator[Path]:
    """Give a path beside ``path`` to write to; at the end it takes the name ``path``.

    Where ``path`` is a symbolic link, what it leads to is replaced, and the link stays.

    If anything goes wrong it is removed, and whatever has the name ``path`` stays as it was. A
    killed process leaves it behind, and the next one writes over it.

    Args:
        path: the file.
        part: ending of the file beside it; several processes that may write at once need each
            its own.

    Raises:
        DashScopeError: if the disk is full or the file cannot be written.
    """
    target = path.resolve()
    aside = target.with_name(f".{target.name}.{part}")
    try:
        yield aside
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        aside.replace(target)
    except OSError as error:
        raise DashScopeError(
            f"cannot write {path}: {error.strerror or error}. What had this name before is "
            "unchanged, and the answers stand in the checkpoint: free space or choose another "
            "place, and give the same command again"
        ) from error
    finally:
        aside.unlink(missing_ok=True)
