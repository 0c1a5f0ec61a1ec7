"""Links lead somewhere, and every file that a page names is there."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, name_of, names_in_code, without_code

LINK = re.compile(r"\]\(([^)\s]+)\)")
# Folders of the repository that a path on a page can begin with.
FOLDERS = (
    r"benchmarks|docs|examples|notebooks|tests|\.ci|"
    "dashscope_oss|langchain_dashscope_oss|llama_index_dashscope_oss"
)
FILE = re.compile(rf"(?:{FOLDERS})/[\w./-]*")
FILE_AT_THE_ROOT = re.compile(r"(?:[A-Z]+(?:\.zh)?\.md|Makefile|\w+\.(?:toml|txt))")
ACTIONS = "../../actions/"
"""Where GitHub shows the results of workflows, seen from a file at the repository's root."""
OF_USERS = {"gateway.toml", "answers.json"}
"""Names of files that a reader writes."""


def anchors(page: Path) -> set[str]:
    """The addresses that GitHub gives to the page's headings."""
    headings = re.findall(r"^#+ (.*)$", without_code(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    return LINK.findall(without_code(page))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    """To a file of the repository, and to a heading that it has."""
    lost = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if "://" in link or link.startswith(ACTIONS):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_a_page_names_are_there(page):
    names = {name for name in names_in_code(page) if FILE.fullmatch(name)}
    names |= {name for name in names_in_code(page) if FILE_AT_THE_ROOT.fullmatch(name)}
    folders = (ROOT, page.parent)
    lost = {name for name in names if not any((folder / name).exists() for folder in folders)}
    assert lost - OF_USERS == set()


def test_every_page_can_be_reached_from_the_readme():
    """By following links."""
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(name_of(page))
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links(page)}
        ahead += [path for path in targets & set(PAGES) if name_of(path) not in reached]
    assert {name_of(page) for page in PAGES} - reached == set()
