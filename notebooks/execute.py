"""Run every notebook of this folder from its first cell to its last, each in a fresh kernel.

``python notebooks/execute.py`` fails if a cell does and leaves the files as they are;
``--save`` keeps the outputs, without what differs from machine to machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).resolve().parent
CELL_SECONDS = 300

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--save", action="store_true", help="write the outputs into the files")
    parser.add_argument("--jobs", type=int, default=1, help="notebooks that run at a time")
    arguments = parser.parse_args()
    # The longest is the slowest: begun last, it would run alone.
    paths = sorted(FOLDER.glob("*.ipynb"), key=lines, reverse=True)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for failure in pool.map(partial(run, save=arguments.save), paths):
            if failure:
                pool.shutdown(wait=False, cancel_futures=True)
                sys.exit(failure)


def lines(path: Path) -> int:
    """Return how long a notebook is; a picture is one line."""
    return len(path.read_text("utf-8").splitlines())


def run(path: Path, *, save: bool) -> str | None:
    """Run a notebook and keep its outputs if they are wanted; return what failed."""
    start = time.monotonic()
    try:
        notebook = executed(path)
    except CellExecutionError as error:
        return f"{path.name} failed:\n{error}"
    print(f"{path.name}: ran in {time.monotonic() - start:.0f} s", flush=True)
    if save:
        nbformat.write(portable(notebook), path)
    return None


def executed(path: Path) -> nbformat.NotebookNode:
    """Return the notebook with its outputs made anew, in its own folder, as Jupyter runs it.

    Raises:
        CellExecutionError: if a cell raised.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],  # else it warns that 127.0.0.1 is not encrypted
        resources={"metadata": {"path": str(FOLDER)}},
        coalesce_streams=True,  # also leaves only the last state of a progress bar
        record_timing=False,
    )
    return client.execute()


def portable(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the notebook without what tells of the machine it ran on."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata.clear()
    return notebook


if __name__ == "__main__":
    main()
