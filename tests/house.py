"""What the tests of the repository's shape read: every module, what it imports, where it stands."""

import ast
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE = "dashscope_oss"
ADAPTERS = ("langchain_dashscope_oss", "llama_index_dashscope_oss")
PACKAGES = (CORE, *ADAPTERS)

# What is not yet done, as "rule: pattern of the place". It must be empty at the end.
STILL = {
    "lines: tests/faults/test_secrets.py*",
}


def check(rule: str, offenders: Iterable[str]) -> None:
    """Fail with every offender that STILL does not excuse."""
    lines = [f"{rule}: {offender}" for offender in offenders]
    unexcused = [line for line in lines if not any(fnmatch(line, each) for each in STILL)]
    assert not unexcused, "\n" + "\n".join(unexcused)


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


PATHS = {dotted(path): path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))}
MODULES = {module: parse(path) for module, path in PATHS.items()}
FOLDERS = sorted({path.parent for path in PATHS.values()})


def where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST) -> Iterator[str]:
    """Every name that a module imports, in full; what stands inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def is_within(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def module_of(name: str) -> str | None:
    """The module of ours that an imported name is, or is a part of."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


def edges(module: str) -> set[str]:
    targets = map(module_of, imports(MODULES[module]))
    return {target for target in targets if target} - {module}


EDGES = {module: edges(module) for module in MODULES}
