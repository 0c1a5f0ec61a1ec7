"""Files of rows for the tests of the command ``batch``."""

import json
from pathlib import Path


def write_rows(*rows, path="in.jsonl"):
    lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    Path(path).write_text("\n".join(lines) + "\n", "utf-8")


def read_rows(path="out.jsonl"):
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def numbered(count):
    return ({"id": number, "prompt": f"question {number}"} for number in range(count))
