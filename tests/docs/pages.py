"""What the tests of the documentation read: its pages, their code, tables and links."""

import re
from dataclasses import dataclass
from pathlib import Path

from website.families import families, page

ROOT = Path(__file__).resolve().parents[2]
GUIDES = [ROOT / "README.md", ROOT / "README.zh.md", *sorted((ROOT / "docs").rglob("*.md"))]
"""The pages for users."""
PAGES = [
    *GUIDES,
    *sorted((ROOT / "distributions").rglob("*.md")),
    *(ROOT / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")),
    ROOT / "benchmarks" / "README.md",
]
"""All pages."""

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PYTHON = re.compile(
    r"(?:^<!-- answers: (?P<answers>[^\n]*) -->\n)?^```python\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


_MARKED = re.compile(r"^<!-- needs [^\n]*-->\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def read(page: Path | str) -> str:
    return (ROOT / page).read_text("utf-8")


def blocks(page: Path | str, kind: str) -> list[str]:
    """The page's blocks of code in a language."""
    return [code for language, code in _BLOCK.findall(read(page)) if language == kind]


def unmarked_blocks(page: Path | str) -> list[tuple[str, str]]:
    """Language and code of each block that is not marked as needing what a test has not."""
    return _BLOCK.findall(_MARKED.sub("", read(page)))


def without_code(page: Path | str) -> str:
    return _BLOCK.sub("", read(page))


def names_in_code(page: Path | str) -> set[str]:
    """What stands between single backticks."""
    return set(re.findall(r"`([^`\n]+)`", without_code(page)))


@dataclass(frozen=True)
class Example:
    """A block of Python.

    Attributes:
        page: the name of the page that it stands on.
        code: the code.
        answers: what the service answers, as Python; it stands in a comment before the block,
            ``<!-- answers: Answer("Hello.") -->``.
    """

    page: str
    code: str
    answers: str

    def __str__(self) -> str:
        last_line = self.code.rstrip().rpartition("\n")[2].strip()
        return f"{self.page}: {last_line[:40]}"


def examples(page: str, text: str) -> list[Example]:
    return [
        Example(page, match["code"], match["answers"] or 'Answer("In Hangzhou.")')
        for match in _PYTHON.finditer(text)
    ]


EXAMPLES = [example for path in GUIDES for example in examples(name_of(path), read(path))]
"""Every block of Python on the pages for users."""
FAMILY_EXAMPLES = [
    example for name, models in families().items() for example in examples(name, page(name, models))
]
"""Those of the pages that the site makes from the registry."""
