"""The folder beside the output in which a run on a cluster keeps its blocks."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from dashscope_oss.batch.cluster.blocks import BlockFiles, split_rows
from dashscope_oss.batch.files.interface import state_of
from dashscope_oss.batch.files.output import checkpoint_path
from dashscope_oss.batch.files.parquet import ParquetReader
from dashscope_oss.batch.files.replace import replacing
from dashscope_oss.batch.rows.settings import differences, settings_text
from dashscope_oss.errors import ConfigurationError, DashScopeError
from dashscope_oss.messages import Json

_FORMAT = 1
_DIGEST_BYTES = 8


@dataclass(frozen=True)
class BlockFolder:
    """The folder of a run, and how it differs from the run before.

    Attributes:
        path: the folder, beside the output.
        files: the files of the blocks.
        changes: how the settings differ from those of the run before, if this one is new.
    """

    path: Path
    files: BlockFiles
    changes: list[str]

    @classmethod
    def open(cls, output: Path, source: ParquetReader, settings: Json) -> BlockFolder:
        """Return the folder of a run; it is made if there is none.

        Args:
            output: the run's output.
            source: reads the Parquet files that the rows come from.
            settings: what else makes the run.

        Raises:
            ConfigurationError: if it belongs to another input, or to a run without Ray.
            DashScopeError: if it cannot be written.
        """
        path = checkpoint_path(output)
        if path.is_file():
            raise ConfigurationError(
                f"{path} belongs to a run without --ray; choose another output, or move it away"
            )
        digest = blake2b(settings_text(settings).encode(), digest_size=_DIGEST_BYTES)
        run = path / digest.hexdigest()
        try:
            is_new = not run.exists()
            former = _latest_settings(path) if is_new else None
            _claim(path, output, source)
            run.mkdir(exist_ok=True)
            _write(run / "settings.json", settings)
            rows = split_rows(source.absolute(), path.resolve() / "rows.parquet")
        except OSError as error:
            raise DashScopeError(f"cannot write {path}: {error}") from error
        changes = differences(former, settings) if former else []
        return cls(path, BlockFiles(rows, run.resolve()), changes)

    @property
    def wrote_output(self) -> bool:
        """Whether the output was last written by this run."""
        note = self.path / "output.json"
        return note.exists() and json.loads(note.read_text("utf-8")) == self.files.folder.name

    def note_output(self) -> None:
        """Note that this run has written the output."""
        _write(self.path / "output.json", self.files.folder.name)


def _claim(path: Path, output: Path, source: ParquetReader) -> None:
    """Make the folder that of one input, or raise if it is another's."""
    path.mkdir(exist_ok=True)
    num_files, size, modified = state_of(source.files)
    claim = {
        "format": _FORMAT,
        "input": os.path.relpath(source.path.resolve(), output.resolve().parent),
        "files": num_files,
        "size": size,
        "modified": modified,
    }
    claim_file = path / "input.json"
    if not claim_file.exists():
        _write(claim_file, claim)
    elif (former := json.loads(claim_file.read_text("utf-8"))) != claim:
        is_same_input = former["input"] == claim["input"]
        fault = "has changed since" if is_same_input else "is not the input of"
        raise ConfigurationError(
            f"{source.path} {fault} the run whose checkpoint is {path} (over {former['input']}); "
            "choose another output, or move the checkpoint away"
        )


def _latest_settings(path: Path) -> Json | None:
    files = sorted(path.glob("*/settings.json"), key=lambda file: file.stat().st_mtime_ns)
    return json.loads(files[-1].read_text("utf-8")) if files else None


def _write(path: Path, value: object) -> None:
    with replacing(path) as aside:
        aside.write_text(json.dumps(value, ensure_ascii=False), "utf-8")
