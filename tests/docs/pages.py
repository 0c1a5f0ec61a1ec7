"""What the tests of the documentation read: its pages, their code, tables and links."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDES = [ROOT / "README.md", ROOT / "README.zh.md", *sorted((ROOT / "docs").rglob("*.md"))]
"""The pages for users."""
PAGES = [
    *GUIDES,
    *(ROOT / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")),
    ROOT / "benchmarks" / "README.md",
]
"""All pages."""

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PYTHON = re.compile(
    r"(?:^<!-- answers: (?P<answers>[^\n]*) -->\n)?^```python\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def read(page: Path | str) -> str:
    return (ROOT / page).read_text("utf-8")


def blocks(page: Path | str, kind: str) -> list[str]:
    """The page's blocks of code in a language."""
    return [code for language, code in _BLOCK.findall(read(page)) if language == kind]


def without_code(page: Path | str) -> str:
    return _BLOCK.sub("", read(page))


def names_in_code(page: Path | str) -> set[str]:
    """What stands between single backticks."""
    return set(re.findall(r"`([^`\n]+)`", without_code(page)))


@dataclass(frozen=True)
class Example:
    """A block of Python.

    Attributes:
        page: where it stands.
        code: the code.
        answers: what the service answers, as Python; it stands in a comment before the block,
            ``<!-- answers: Answer("Hello.") -->``.
    """

    page: Path
    code: str
    answers: str

    def __str__(self) -> str:
        last_line = self.code.rstrip().rpartition("\n")[2].strip()
        return f"{name_of(self.page)}: {last_line[:40]}"


EXAMPLES = [
    Example(page, match["code"], match["answers"] or 'Answer("In Hangzhou.")')
    for page in GUIDES
    for match in _PYTHON.finditer(read(page))
]
"""Every block of Python on the pages for users."""
