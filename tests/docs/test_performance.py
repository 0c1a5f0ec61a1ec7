"""Speed is claimed only in figures that the saved benchmark holds."""

import re

from tests.docs.pages import read

CLAIM = re.compile(r"<!-- speed.*?-->(.*?)<!-- end of speed -->", re.DOTALL)


def measured() -> dict[str, dict[str, str]]:
    """Of each scenario: our class's part of what each peer of the same framework takes."""
    scenarios = {}
    for section in read("benchmarks/README.md").split("\n### ")[1:]:
        name = re.search(r"\(`(\w+)`\)", section)
        table = [re.split(r" *\| *", line.strip("| ")) for line in section.splitlines()[1:]]
        head = next((row for row in table if "ours of it" in row), None)
        if name and head:
            column = head.index("ours of it")
            rows = [row for row in table if len(row) > column]
            scenarios[name[1]] = {row[0]: row[column] for row in rows}
    return scenarios


def test_the_page_shows_the_saved_figures():
    """Each row names its scenario, each column its peer."""
    claim = CLAIM.search(read("docs/scale/performance.md"))
    assert claim
    head, _, *rows = re.findall(r"^\|(.*)\|$", claim[1], re.MULTILINE)
    peers = re.findall(r"`([^`]+)`", head)
    shown = {}
    for row in rows:
        label, *figures = (cell.strip() for cell in row.split("|"))
        shown[re.findall(r"`(\w+)`", label)[-1]] = dict(zip(peers, figures, strict=True))

    tables = measured()
    assert shown == {
        scenario: {peer: tables[scenario][peer] for peer in peers} for scenario in shown
    }
    assert {"paced", "apaced"} <= shown.keys()


def test_the_readme_takes_its_figures_from_the_page():
    page = CLAIM.search(read("docs/scale/performance.md"))
    for readme in ("README.md", "README.zh.md"):
        claim = CLAIM.search(read(readme))
        assert page, readme
        assert claim, readme
        figures = re.findall(r"\d+\.\d+", claim[1])
        assert figures
        assert set(figures) <= set(re.findall(r"\d+\.\d+", page[1]))
