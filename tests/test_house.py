"""The shape of the repository: floors, names, docstrings, and what no file may hold."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = "dashscope_oss"
ADAPTERS = ("langchain_dashscope_oss", "llama_index_dashscope_oss")
CONFORMANCE = "llama_index_dashscope_oss.conformance"
FRAMEWORKS = ("langchain", "langchain_core", "llama_index")

# From the ground up; a package stands for all its modules, the core's own name for its facade.
FLOORS = (
    ("messages", "mould", "errors", "sse", "llama2_vocabulary", "_version"),
    ("stops", "thoughts", "templates", "retry"),
    ("model_info", "rows", "models"),
    ("tokens", "checks", "request", "reply", "framing", "channels", "deltas"),
    (
        "endpoint",
        "failures",
        "deadlines",
        "network",
        "async_network",
        "pool",
        "async_pool",
        "client",
        "gateway",
    ),
    (CORE,),
    ("cli", "__main__", "demo", "pytest_plugin", "table", *ADAPTERS, CONFORMANCE),
)
FLOOR = {name: number for number, names in enumerate(FLOORS, start=1) for name in names}

MODEL_NAMES = {"id", "model", "model_id", "model_name", "family", "maker"}
TEXT_TESTS = {"startswith", "endswith", "removeprefix", "find", "count", "match", "search"}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_of(path): ast.parse(path.read_text("utf-8"), str(path))
    for package in (CORE, *ADAPTERS)
    for path in sorted((ROOT / package).rglob("*.py"))
}


def imports(tree: ast.Module) -> Iterator[str]:
    """Every name that a module imports, in full; what stands inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def within(name: str) -> str | None:
    """The module of ours that an imported name is, or is a part of."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


def edges(module: str) -> set[str]:
    return {found for name in imports(MODULES[module]) if (found := within(name))} - {module}


def part(module: str) -> str:
    """What the floors call a module: its file or package in the core, else its package."""
    if module.startswith(CONFORMANCE):
        return CONFORMANCE
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] or package if package == CORE else package


def test_every_module_stands_on_a_floor():
    """A new file of the core is entered in FLOORS, and in CONTRIBUTING.md."""
    assert {part(module) for module in MODULES} <= FLOOR.keys()


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module):
    """A module imports from its own floor or from lower ones."""
    above = {other for other in edges(module) if FLOOR[part(other)] > FLOOR[part(module)]}
    assert not above


def test_there_is_no_circle():
    """Modules of one floor do not import each other in a ring."""
    TopologicalSorter({module: edges(module) for module in MODULES}).prepare()


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith(CORE) and part(m) != "demo"])
def test_the_core_knows_no_framework(module):
    """Nothing in the core but the demo imports a framework or an adapter."""
    foreign = {name.partition(".")[0] for name in imports(MODULES[module])}
    assert foreign.isdisjoint((*FRAMEWORKS, *ADAPTERS))


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_adapters_do_not_know_each_other(adapter):
    """An adapter imports its own framework and the core."""
    strangers = {*ADAPTERS, "langchain_core" if "llama" in adapter else "llama_index"} - {adapter}
    for module in (m for m in MODULES if m.startswith(adapter)):
        assert strangers.isdisjoint(name.partition(".")[0] for name in imports(MODULES[module]))


def test_the_conformance_suite_stands_apart():
    """It needs pytest, which an application has not: nothing but its own modules imports it."""
    users = {module for module in MODULES if any(part(m) == CONFORMANCE for m in edges(module))}
    assert {part(module) for module in users} == {CONFORMANCE}


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


@pytest.mark.parametrize("module", [module for module in MODULES if part(module) != "rows"])
def test_no_code_decides_by_the_name_of_a_model(module):
    """What sets a model apart is a field of its row."""
    found = [node for node in ast.walk(MODULES[module]) if decides_by_name(node)]
    assert [ast.unparse(node) for node in found] == []


@pytest.mark.parametrize(
    "code",
    [
        'model.startswith("llama")',
        'self.model == "ziya"',
        'info.id in ("a", "b")',
        '"llama" in model_name',
        're.match("qwen", request.model)',
        'record.family != "llama2"',
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
    found = {
        str(path.relative_to(ROOT)): match[0]
        for path in files()
        if (match := re.search(forbidden, path.read_text("utf-8", errors="ignore")))
    }
    assert found == {}


PACKAGES = (CORE, f"{CORE}.gateway", *ADAPTERS)


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_sorted_and_there(package):
    """__all__ is in order, and what it promises exists."""
    public = importlib.import_module(package)
    assert list(public.__all__) == sorted(public.__all__)
    assert [name for name in public.__all__ if not hasattr(public, name)] == []


@pytest.mark.parametrize("package", PACKAGES)
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


def test_the_readme_lists_the_models_of_the_registry(capsys):
    """The table between the README's markers is what `dashscope-oss models --markdown` prints."""
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = re.search(r"<!-- models -->\n(.*?)<!-- /models -->", readme, re.DOTALL)
    assert shown, "README.md has no <!-- models --> ... <!-- /models -->"
    from dashscope_oss.cli import main

    with suppress(SystemExit):
        main(["models", "--markdown"])
    assert shown[1].strip() == capsys.readouterr().out.strip()
