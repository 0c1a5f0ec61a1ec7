"""What no file of the repository may hold, and what every public name must have."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.house import ADAPTERS, CORE, ROOT, check, modules, parse, where

MODEL_NAMES = {"id", "model", "model_id", "model_name", "family", "maker"}
TEXT_TESTS = {"startswith", "endswith", "removeprefix", "find", "count", "match", "search"}


def names_model(node: ast.expr) -> bool:
    last = {ast.Attribute: "attr", ast.Name: "id"}.get(type(node))
    return last is not None and getattr(node, last) in MODEL_NAMES


def holds_text(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(holds_text(element) for element in node.elts)
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != ""


def decides_by_name(node: ast.AST) -> bool:
    """Whether code asks what a model is called: model.startswith("x"), model == "x", "x" in id."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        return any(map(names_model, sides)) and any(map(holds_text, sides))
    if isinstance(node, ast.Match):
        return names_model(node.subject)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    parties = [node.func.value, *node.args]
    return node.func.attr in TEXT_TESTS and any(map(names_model, parties))


def test_no_code_decides_by_the_name_of_a_model():
    """What sets a model apart is a field of its entry in the catalog."""
    nodes = (
        f"{module}: {ast.unparse(node)}"
        for module, tree in modules().items()
        if module != "dashscope_oss.registry.catalog"
        for node in ast.walk(tree)
        if decides_by_name(node)
    )
    check("name of a model", nodes)


@pytest.mark.parametrize(
    "code",
    [
        'model.startswith("llama")',
        'self.model == "ziya"',
        'info.id in ("a", "b")',
        '"llama" in model_name',
        're.match("qwen", request.model)',
        'model_info.family != "llama2"',
    ],
)
def test_deciding_by_name_is_noticed(code):
    """The rule above sees the ways in which it is usually broken."""
    assert decides_by_name(ast.parse(code, mode="eval").body)


IGNORED = [line.strip("/") for line in (ROOT / ".gitignore").read_text("utf-8").split()]


def files(folder: Path = ROOT) -> Iterator[Path]:
    """Every file of the repository, committed or about to be."""
    for path in folder.iterdir():
        if path.name == ".git" or any(fnmatch(path.name, pattern) for pattern in IGNORED):
            continue
        if path.is_dir():
            yield from files(path)
        else:
            yield path


@pytest.mark.parametrize(
    "forbidden",
    [
        pytest.param(r"\b(pypi|pythonhosted|anaconda|npmjs)[.](org|com|net)\b", id="registry"),
        pytest.param(r"https?://[^\s\"'<>]+/simple\b", id="package-index"),
        pytest.param(r"(?<![\w.:~/-])/(home|root|work|Users|opt)/\w", id="path-of-a-machine"),
    ],
)
def test_no_file_names_a_registry_or_a_place_on_a_machine(forbidden):
    """A clone works anywhere, with whatever index its user has set."""
    texts = ((where(path), path.read_text("utf-8", errors="ignore")) for path in files())
    matches = ((place, re.search(forbidden, text)) for place, text in texts)
    check("place", (f"{place}: {match[0]}" for place, match in matches if match))


# A reader of a test learns what the package does, not how the test came to be.
HISTORY = re.compile(r"\brows? \d|\bcold[ _]reads?\b|\bissues? \d|\bjudges?\b", re.IGNORECASE)


def test_tests_speak_of_behaviour():
    """No docstring, and no name of a file, tells of reviews, lists or issues."""
    tests = sorted((ROOT / "tests").rglob("*.py"))
    names = (where(path) for path in tests if HISTORY.search(path.stem))
    texts = ((where(path), text) for path in tests for text in docstrings(parse(path)))
    check("name of a test file", names)
    check(
        "docstring of a test", (f"{place}: {text}" for place, text in texts if HISTORY.search(text))
    )


def docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


PUBLIC = (CORE, f"{CORE}.gateway", *ADAPTERS)


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names_are_sorted_and_there(package):
    """__all__ is in order, and what it promises exists."""
    public = importlib.import_module(package)
    assert list(public.__all__) == sorted(public.__all__)
    assert [name for name in public.__all__ if not hasattr(public, name)] == []


@pytest.mark.parametrize("package", PUBLIC)
def test_public_things_say_what_they_are(package):
    """Every public class and function has a docstring of its own."""
    public = importlib.import_module(package)
    things = {name: getattr(public, name) for name in public.__all__}
    assert [
        name
        for name, thing in things.items()
        if (inspect.isclass(thing) or inspect.isfunction(thing)) and not documented(name, thing)
    ] == []


def documented(name: str, thing: object) -> bool:
    """A dataclass without a docstring gets its own signature for one: that does not count."""
    own = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    return bool(own) and not own.startswith(f"{name}(")
