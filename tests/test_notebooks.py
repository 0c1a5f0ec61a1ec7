"""What the kept outputs of the notebooks look like; `make notebooks` runs them."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

URL = re.compile(r"\w+://([^\s/:\"'`)]+)")
HOST = re.compile(r"\b[\w-]+[.](com|org|net|cn|io|ai|dev)\b")
PLACE = re.compile(r"(?<![\w.:~/-])/(home|root|work|Users|opt|tmp|usr|var|etc)/\w|\b[A-Z]:\\\w")
NOISE = re.compile(r"\w*Warning\b|Traceback|Downloading|\b(DEBUG|INFO|WARNING|ERROR)\b|\r|\x1b")
FREE_PORT = re.compile(r"127[.]0[.]0[.]1:\d{4,5}")
MEMORY = re.compile(r"\bat 0x[0-9a-f]+")


def read(path: Path) -> dict:
    return json.loads(path.read_text("utf-8"))


def code_cells(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def outputs(notebook: dict) -> Iterator[dict]:
    for cell in code_cells(notebook):
        yield from cell["outputs"]


def joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def output_text(notebook: dict) -> str:
    """All text of all outputs; pictures are left out."""
    texts = []
    for output in outputs(notebook):
        texts.append(joined(output.get("text", "")))
        data = output.get("data", {})
        texts += [joined(text) for kind, text in data.items() if kind.startswith("text/")]
    return "\n".join(texts)


def all_text(notebook: dict) -> str:
    """All text of a notebook: its cells and their outputs."""
    cells = (joined(cell["source"]) for cell in notebook["cells"])
    return "\n".join([*cells, output_text(notebook)])


def faults(notebook: dict) -> set[str]:
    """What is wrong with a notebook, in words; nothing if it is fit to be read."""
    cells = code_cells(notebook)
    text, printed = all_text(notebook), output_text(notebook)
    hosts = {*URL.findall(text), *(match[0] for match in HOST.finditer(text))}
    languages = notebook["metadata"].get("language_info", {})
    checks = {
        "not run in order": [c["execution_count"] for c in cells] != [*range(1, len(cells) + 1)],
        "an error": any(output["output_type"] == "error" for output in outputs(notebook)),
        "stderr": any(output.get("name") == "stderr" for output in outputs(notebook)),
        "noise": NOISE.search(printed),
        "a place on a machine": PLACE.search(text),
        "another host": hosts - {"127.0.0.1"},
        "a port by chance": FREE_PORT.search(printed),
        "an address in memory": MEMORY.search(printed),
        "metadata of a machine": languages.keys() - {"name"} or any(c["metadata"] for c in cells),
    }
    return {name for name, is_so in checks.items() if is_so}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_kept_outputs_are_fit_to_be_read(path):
    """A notebook was run in order, without an error, noise, or a trace of whose machine it was."""
    assert faults(read(path)) == set()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_outputs_are_kept(path):
    """It can be read without being run: outputs are there, and at least one picture."""
    notebook = read(path)
    kinds = {kind for output in outputs(notebook) for kind in output.get("data", {})}
    assert all(cell["outputs"] for cell in code_cells(notebook))
    assert "image/png" in kinds


def stream(text: str, name: str = "stdout") -> dict:
    return {"output_type": "stream", "name": name, "text": [text]}


TIDY = {
    "metadata": {"language_info": {"name": "python"}},
    "cells": [
        {
            "cell_type": "code",
            "execution_count": 1,
            "metadata": {},
            "outputs": [stream("fine")],
            "source": ["llm = Model(base_url='http://127.0.0.1:9/api/v1')"],
        }
    ],
}


def changed(**cell) -> dict:
    notebook = copy.deepcopy(TIDY)
    notebook["cells"][0] |= cell
    return notebook


@pytest.mark.parametrize(
    ("notebook", "fault"),
    [
        (changed(execution_count=2), "not run in order"),
        (changed(execution_count=None), "not run in order"),
        (changed(outputs=[{"output_type": "error", "ename": "KeyError"}]), "an error"),
        (changed(outputs=[stream("", "stderr")]), "stderr"),
        (changed(outputs=[stream("UserWarning: no")]), "noise"),
        (changed(outputs=[stream(" 10%|#   |\r 20%|##  |")]), "noise"),
        (changed(outputs=[stream("in " + "/" + "tmp/x.py")]), "a place on a machine"),
        (changed(source=["open('C:\\Users')"]), "a place on a machine"),
        (changed(source="see https://example.invalid/page"), "another host"),
        (changed(outputs=[stream("example.com answered")]), "another host"),
        (changed(outputs=[stream("http://127.0.0.1:43210/api/v1")]), "a port by chance"),
        (
            changed(outputs=[{"output_type": "x", "data": {"text/plain": "<A at 0x7f>"}}]),
            "an address in memory",
        ),
        (changed(metadata={"execution": {}}), "metadata of a machine"),
    ],
)
def test_faults_are_noticed(notebook, fault):
    """The checks above see what usually goes wrong."""
    assert faults(TIDY) == set()
    assert faults(notebook) == {fault}
