"""Every block of code of the documentation is run, or checked, or marked with what it needs.

``<!-- needs a GPU -->`` before a block is such a mark; the site shows it above the block. Python
is run by ``test_examples``, commands of ``dashscope-oss`` are parsed by ``test_commands``, TOML is
loaded by ``test_serving``.
"""

import re
import tomllib

import pytest

from tests.docs.pages import GUIDES, ROOT, name_of, read, unmarked_blocks

CHECKED_ELSEWHERE = {"python", "toml"}
SHOWN = {"text", "dockerfile"}
"""Drawings, and files of other programs."""
EXTRAS = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"].keys()
BIN = r"(?:[\w.]+/bin/)?"
NEEDS_NOTHING = (
    rf"{BIN}dashscope-oss \w.*",  # test_commands parses it
    r"make [a-z]+.*",  # test_facts looks for the target
    r"echo '.*' > [\w.]+",
    rf"(?:python3(?:\.11)? -m venv [\w.]+ && )?{BIN}pip install --upgrade pip",
)
WITH_EXTRAS = re.compile(r".*pip install .*\[([\w,-]+)\]['\"].*")
WITH_A_PATH = re.compile(rf"(?:\w+=\S+ )?{BIN}python (?:-m pytest )?([\w/.]+)")


def is_checked(line: str) -> bool:
    """Whether the line is one that a test knows; the extras and paths that it names exist."""
    if extras := WITH_EXTRAS.fullmatch(line):
        return set(extras[1].split(",")) <= EXTRAS
    if path := WITH_A_PATH.fullmatch(line):
        return (ROOT / path[1]).exists()
    return any(re.fullmatch(pattern, line) for pattern in NEEDS_NOTHING)


def lines(code: str) -> list[str]:
    whole = re.sub(r"\\\n\s*", "", code)
    stripped = (re.sub(r"\s+#.*", "", line).strip() for line in whole.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def test_every_block_is_run_or_checked_or_marked():
    unknown = []
    for page in GUIDES:
        for language, code in unmarked_blocks(page):
            if language == "sh":
                unknown += [(name_of(page), n) for n in lines(code) if not is_checked(n)]
            elif language not in CHECKED_ELSEWHERE | SHOWN:
                unknown.append((name_of(page), f"a block of {language!r}: {code[:40]}"))
    assert unknown == []


@pytest.mark.parametrize(
    "line",
    ['pip install "dashscope-oss[langchian]"', "vllm serve x", "python tests/nothing", "curl x"],
)
def test_a_line_that_no_test_knows_is_noticed(line):
    assert not is_checked(line)
