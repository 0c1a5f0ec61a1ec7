"""The shape of the packages: floors, folders and sizes. CONTRIBUTING.md draws the same house.

Each rule lists all that breaks it.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.house import (
    ADAPTERS,
    CORE,
    FOLDERS,
    PACKAGES,
    PATHS,
    ROOT,
    all_edges,
    check,
    dotted,
    is_within,
    modules,
    parse,
    where,
)

# From the ground up. A name stands for a file, or for a folder's own files; `dashscope_oss` is the
# facade. What stands below `a.b` may be used by it, and not the other way round.
FLOORS = (
    ("dashscope_oss._version", "dashscope_oss.messages"),
    ("dashscope_oss.errors",),
    ("dashscope_oss.prompts",),
    ("dashscope_oss.registry",),
    ("dashscope_oss.tokens",),
    ("dashscope_oss.protocol",),
    ("dashscope_oss.transport",),
    ("dashscope_oss",),
    ("dashscope_oss.gateway", "dashscope_oss.batch", *ADAPTERS),
    ("dashscope_oss.cli", "dashscope_oss.pytest_plugin"),
    ("dashscope_oss.__main__",),
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}

MAX_ENTRIES = 10
MAX_ENTRIES_OF_THE_CORE = 11  # its floors
MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 40
MAX_TRANSPORT_LINES = 1300
TRANSPORT_FILES = (
    "async_client",
    "attempt",
    "base_client",
    "client",
    "endpoint",
    "http/deadlines",
    "options",
    "retry",
)
UNCOUNTED = ("__init__.py", "__main__.py", "_version.py", "py.typed", "__pycache__")


def floor_of(module: str) -> str | None:
    """The name in FLOORS that a module belongs to; the facade stands for no other file."""
    if module == CORE:
        return CORE
    names = [name for name in FLOOR if name != CORE and is_within(module, name)]
    return max(names, key=len, default=None)


def test_every_file_stands_on_a_floor():
    """A new file or folder of the core is entered in FLOORS, and in CONTRIBUTING.md."""
    check("floor", (module for module in PATHS if floor_of(module) is None))


def test_imports_go_down():
    """A module imports from its own folder or from lower floors."""
    arrows = ((module, other) for module in PATHS for other in sorted(all_edges()[module]))
    check("arrow", (f"{a} -> {b}" for a, b in arrows if not goes_down(floor_of(a), floor_of(b))))


def goes_down(importer: str | None, imported: str | None) -> bool:
    return importer == imported or FLOOR.get(importer or "", 0) > FLOOR.get(imported or "", 0)


def circles(graph: dict[str, set[str]]) -> Iterator[str]:
    """Every set of names that reach each other, as text."""
    reach = {name: reachable(graph, name) for name in graph}
    groups = {tuple(sorted(b for b in reach[a] if a in reach[b])) for a in graph}
    yield from (" <-> ".join(group) for group in sorted(groups) if group)


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    reached: set[str] = set()
    ahead = [*graph[start]]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += graph[name]
    return reached


def folder_of(module: str) -> str:
    """The folder of a module; a file in the core's root counts as a folder of its own."""
    path = PATHS[module]
    return f"{CORE}/{path.name}" if path.parent == ROOT / CORE else where(path.parent)


def test_there_is_no_circle_between_files():
    check("circle of files", circles(all_edges()))


def test_there_is_no_circle_between_folders():
    graph: dict[str, set[str]] = {folder_of(module): set() for module in PATHS}
    for module, others in all_edges().items():
        graph[folder_of(module)] |= {folder_of(other) for other in others} - {folder_of(module)}
    check("circle of folders", circles(graph))


def test_a_subfolder_does_not_use_the_folder_that_it_is_in():
    """It is lower: protocol may use protocol/streaming, and not the other way round."""
    pairs = ((module, other) for module in PATHS for other in sorted(all_edges()[module]))
    inside = (f"{a} -> {b}" for a, b in pairs if folder_of(a).startswith(f"{folder_of(b)}/"))
    check("subfolder", inside)


def test_folders_hold_at_most_ten_things():
    """Files and subfolders; what every package has is not counted."""
    sizes = {folder: len([*entries(folder)]) for folder in FOLDERS}
    most = {ROOT / CORE: MAX_ENTRIES_OF_THE_CORE}
    full = (f"{where(f)} holds {n}" for f, n in sizes.items() if n > most.get(f, MAX_ENTRIES))
    check("entries", full)


def entries(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.name not in UNCOUNTED)


def test_every_folder_says_what_it_is_for():
    """In the docstring of its __init__, which names each of its files; a package's is for users."""
    trees = {folder: modules().get(dotted(folder / "__init__.py")) for folder in FOLDERS}
    texts = {folder: (tree and ast.get_docstring(tree)) or "" for folder, tree in trees.items()}
    check("docstring of a folder", (where(folder) for folder, text in texts.items() if not text))
    files = (path for folder in FOLDERS for path in entries(folder) if path.suffix == ".py")
    inner = (path for path in files if path.parent.name not in PACKAGES)
    check("file", (where(p) for p in inner if p.stem not in re.findall(r"\w+", texts[p.parent])))


PYTHON = sorted(
    path
    for folder in (*PACKAGES, "benchmarks", "examples", "notebooks", "tests", "website")
    for path in (ROOT / folder).rglob("*.py")
)


def test_files_are_short():
    lengths = {where(path): len(path.read_text("utf-8").splitlines()) for path in PYTHON}
    long = {path: length for path, length in lengths.items() if length > MAX_FILE_LINES}
    check("lines", (f"{path} has {length}" for path, length in long.items()))


def test_functions_are_short():
    """Docstrings are not counted."""
    check("function", (f"{where(path)} {line}" for path in PYTHON for line in long_functions(path)))


def long_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1 - docstring_lines(node)
            if length > MAX_FUNCTION_LINES:
                yield f"{node.name} has {length} lines"


def docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(node) is None:
        return 0
    return (node.body[0].end_lineno or 0) - node.body[0].lineno + 1


def test_the_transport_is_small():
    """Clients, options, endpoint, retries and deadlines stand on a maintained library.

    Blank lines are not counted, docstrings are.
    """
    paths = [ROOT / CORE / "transport" / f"{name}.py" for name in TRANSPORT_FILES]
    lines = [line for path in paths for line in path.read_text("utf-8").splitlines()]
    size = sum(map(bool, map(str.strip, lines)))
    check("transport", [f"has {size} lines"] if size >= MAX_TRANSPORT_LINES else [])
