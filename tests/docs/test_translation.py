"""The Chinese README and the Chinese pages keep in step with the English ones.

A word of prose no test can compare. What both languages write alike can be: code, names between
backticks, figures, links, and the order in which they come.
"""

import re
from itertools import zip_longest

import pytest

from tests.docs.pages import ROOT, read

ENGLISH, CHINESE = read("README.md"), read("README.zh.md")

BLOCK = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
ROW = re.compile(r"^\|.*\|$", re.MULTILINE)
FACT = re.compile(r"`[^`\n]+`|\d+(?:[.,:/-]\d+)*")  # a name in code, a figure, a date
LINK = re.compile(r"\]\(([^)]+)\)")


PAGES = sorted(
    path.relative_to(ROOT / "docs" / "zh").as_posix()
    for path in (ROOT / "docs" / "zh").rglob("*.md")
)
"""Those of the documentation that are there in both languages."""
BY_PAGE = pytest.mark.parametrize(
    ("english", "chinese"),
    [
        pytest.param(ENGLISH, CHINESE, id="README.md"),
        *(pytest.param(read(f"docs/{n}"), read(f"docs/zh/{n}"), id=n) for n in PAGES),
    ],
)


def without_code(page: str) -> str:
    """The page, with a bare fence where a block of code stood."""
    return BLOCK.sub("```", page)


def sections(page: str) -> list[str]:
    return re.split(r"^(?=#+ )", without_code(page), flags=re.MULTILINE)


def facts(text: str) -> list[str]:
    return sorted(FACT.findall(text))


def rows(section: str) -> list[list[tuple[bool, list[str]]]]:
    """Of each cell: is anything in it, and which names and figures."""
    return [
        [(not cell.isspace(), facts(cell)) for cell in row[1:-1].split("|")]
        for row in ROW.findall(section)
    ]


SECTIONS = [*zip_longest(sections(ENGLISH), sections(CHINESE), fillvalue="")]


@BY_PAGE
def test_every_block_of_code_is_there_to_the_letter_and_in_order(english, chinese):
    """Comments in code stay English."""
    assert BLOCK.findall(chinese) == BLOCK.findall(english)


@BY_PAGE
def test_headings_and_code_come_in_the_same_order(english, chinese):
    """So that a block stands in the section that it belongs to."""
    outlines = [
        re.findall(r"^(?:#+ |```)", without_code(page), re.MULTILINE) for page in (chinese, english)
    ]
    assert outlines[0] == outlines[1]


def test_the_first_four_subjects_are_there_in_chinese():
    """Start, LangChain, LlamaIndex, the gateway and one's own weights."""
    assert PAGES == [
        "frameworks/langchain.md",
        "frameworks/llama_index.md",
        "gateway/configuration.md",
        "gateway/index.md",
        "gateway/serving.md",
        "index.md",
    ]


def test_a_table_has_the_same_rows():
    """Row by row and cell by cell: the same names and figures, and nothing left empty."""
    missing = [
        line
        for english, chinese in SECTIONS
        for line, want, have in zip_longest(ROW.findall(english), rows(english), rows(chinese))
        if want != have
    ]
    assert missing == []


def test_the_text_of_a_section_has_the_same_names_and_figures(subtests):
    """Commands, settings, files, dates and sizes: a change of one README is a change of both."""
    for english, chinese in SECTIONS:
        with subtests.test(english.partition("\n")[0]):
            assert facts(ROW.sub("", chinese)) == facts(ROW.sub("", english))


def test_what_the_english_page_links_to_the_chinese_one_does_too():
    """All but the link from one language to the other."""
    assert set(LINK.findall(ENGLISH)) - {"README.zh.md"} <= set(LINK.findall(CHINESE))


def test_each_language_leads_to_the_other_in_its_first_line():
    """A reader of either sees at once that there is the other."""
    assert "](README.md)" in CHINESE.partition("\n")[0]
    assert "](README.zh.md)" in ENGLISH.partition("\n")[0]
