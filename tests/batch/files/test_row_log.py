"""Outcomes in lines: whatever a kill leaves behind can be read, and goes on."""

import pytest

from dashscope_oss import DashScopeError
from dashscope_oss.batch.files.row_log import RowLog


def read(path, start="now"):
    with RowLog(path, start) as log:
        return log.read()


def test_outcomes_come_back_with_their_row_and_their_start(tmp_path):
    path = tmp_path / "log"
    with RowLog(path, "first") as log:
        log.append(1, b'{"text":"a"}')
        log.append(2, b'{"text":"b"}')
    with RowLog(path, "now") as log:
        log.append(2, b'{"text":"c"}')

    assert read(path) == {1: (b'{"text":"a"}', False), 2: (b'{"text":"c"}', True)}


@pytest.mark.parametrize("torn", [b"3", b"3 now", b'3 now {"text":{}', b'3 now {"te'])
def test_a_line_that_a_kill_has_cut_does_not_count(tmp_path, torn):
    path = tmp_path / "log"
    path.write_bytes(b'1 now {"text":"a"}\n' + torn)

    with RowLog(path, "now") as log:
        log.append(4, b'{"text":"d"}')

    assert sorted(read(path)) == [1, 4]


class Disk:
    """A file on a disk that is full."""

    def __init__(self, outcome):
        self.outcome = outcome

    def write(self, line):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def close(self):
        pass


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [(OSError(28, "No space left on device"), "No space left"), (1, "only a part was written")],
)
def test_a_full_disk_is_told(tmp_path, monkeypatch, outcome, reason):
    with RowLog(tmp_path / "log", "now") as log:
        log._file.close()
        monkeypatch.setattr(log, "_file", Disk(outcome))
        with pytest.raises(DashScopeError, match=f"cannot write .*log: {reason}"):
            log.append(1, b"{}")
