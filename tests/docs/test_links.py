"""Links lead somewhere, and every file that a page names is there."""

import re
from pathlib import Path

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


def test_links_lead_somewhere():
    """To a file of the repository, and to a heading that it has."""
    lost = []
    for page, link in [(path, link) for path in PAGES for link in links(path)]:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if "://" in link or link.startswith(ACTIONS):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append((name_of(page), link))
    assert lost == []


def test_files_that_a_page_names_are_there():
    lost = []
    for page in PAGES:
        names = names_in_code(page) - OF_USERS
        paths = [n for n in names if FILE.fullmatch(n) or FILE_AT_THE_ROOT.fullmatch(n)]
        folders = (ROOT, page.parent)
        lost += [
            (name_of(page), path)
            for path in paths
            if not any((folder / path).exists() for folder in folders)
        ]
    assert lost == []


def test_every_page_can_be_reached_from_the_readme():
    """By following links."""
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(name_of(page))
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links(page)}
        ahead += [path for path in targets & set(PAGES) if name_of(path) not in reached]
    assert {name_of(page) for page in PAGES} - reached == set()
