"""Fuzzes one target with atheris: ``python -m tests.fuzz TARGET [options of libFuzzer]``.

What it learns, and what it finds, is kept in ``.cache/fuzz/TARGET``.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["dashscope_oss"]):
    from tests.fuzz.targets import HEAD, TARGETS

from tests.fuzz.seeds import SEEDS, WORDS

# A target runs in far less; what needs more grows faster than its input does.
LIMITS = ("-timeout=10", "-rss_limit_mb=1024", "-max_len=4096")


def main() -> None:
    """Run until libFuzzer ends, which it does with 0 if nothing was found."""
    target, *options = sys.argv[1:] or [""]
    if target not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz TARGET; the targets are {', '.join(TARGETS)}")
    folder = Path(".cache/fuzz") / target
    corpus = _corpus(folder, target)
    arguments = [sys.argv[0], *LIMITS, f"-dict={_words(folder)}", f"-artifact_prefix={folder}/"]
    atheris.Setup([*arguments, *options, str(corpus)], TARGETS[target], custom_mutator=_mutated)
    atheris.Fuzz()


def _corpus(folder: Path, target: str) -> Path:
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[target]):
        (corpus / f"seed-{number}").write_bytes(seed)
    return corpus


def _words(folder: Path) -> Path:
    path = folder / "words"
    path.write_text("".join(f"{json.dumps(word)}\n" for word in WORDS), "ascii")
    return path


def _mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """Change bytes, or parts of the JSON in them: few changes of bytes leave it readable."""
    chance = random.Random(seed)
    start, end = data.find(b"{", HEAD), data.find(b"\n", HEAD)
    json_part = _read(data[start : end if end > start else None]) if chance.random() < 0.5 else None
    if json_part is None:
        return atheris.Mutate(data, max_size)
    changed = json.dumps(_changed(json_part, chance), ensure_ascii=False).encode("utf-8", "replace")
    rest = data[end:] if end > start else b""
    return (data[:start] + changed + rest)[:max_size]


def _read(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _changed(value: object, chance: random.Random) -> object:
    """Return ``value`` with something in it put in another thing's place."""
    if isinstance(value, dict | list) and value and chance.random() < 0.9:
        places = list(value) if isinstance(value, dict) else list(range(len(value)))
        place = chance.choice(places)
        new = _changed(value[place], chance)
        if isinstance(value, dict):
            return {**value, chance.choice([place] * 4 + WORDS[:4]): new}
        return [*value[:place], *[new] * chance.choice([0, 1, 1, 1, 2]), *value[place + 1 :]]
    return chance.choice([*_VALUES, value, [value], {"text": value}, chance.choice(WORDS)])


_VALUES = (None, True, False, 0, -1, 400, 10**30, 0.5, "", " ", "\ud83c\udfef", [], {})


if __name__ == "__main__":
    main()
