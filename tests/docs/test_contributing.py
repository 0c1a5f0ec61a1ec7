"""CONTRIBUTING.md draws the house as it is."""

from tests.docs.pages import ROOT, read
from tests.house import CORE, FOLDERS, PACKAGES


def drawn() -> dict[str, str]:
    """Each folder and file of the drawing, with the words behind it."""
    drawing = read("CONTRIBUTING.md").partition("## The house")[2].split("```")[1]
    path: list[str] = []
    entries = {}
    for line in filter(None, drawing.splitlines()):
        name, _, words = line.strip().partition(" ")
        depth = (len(line) - len(line.lstrip())) // 4
        path[depth:] = [name.rstrip("/")]
        entries["/".join(path)] = words.strip()
    return entries


def test_every_folder_is_drawn():
    """And nothing that is not there."""
    folders = {folder.relative_to(ROOT).as_posix() for folder in FOLDERS}
    entries = drawn()
    assert folders - entries.keys() == set()
    assert [entry for entry in entries if not (ROOT / entry).exists()] == []


def test_the_files_of_the_cores_root_are_drawn():
    files = {f"{CORE}/{file.name}" for file in (ROOT / CORE).glob("*.py") if file.name[0] != "_"}
    assert files - drawn().keys() == set()


def test_everything_has_its_line():
    assert [entry for entry, words in drawn().items() if not words] == [*PACKAGES]
