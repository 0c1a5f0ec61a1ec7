"""What the tests of the repository's shape read: every module, what it imports, where it stands."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE = "dashscope_oss"
ADAPTERS = ("langchain_dashscope_oss", "llama_index_dashscope_oss")
PACKAGES = (CORE, *ADAPTERS)


def check(rule: str, offenders: Iterable[str]) -> None:
    """Fail with every place that breaks the rule."""
    lines = [f"{rule}: {offender}" for offender in offenders]
    assert not lines, "\n" + "\n".join(lines)


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


PATHS = {dotted(path): path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))}
FOLDERS = sorted({path.parent for path in PATHS.values()})


@cache
def modules() -> dict[str, ast.Module]:
    """Every module, parsed: half a second's work, which no import of this file does."""
    return {module: parse(path) for module, path in PATHS.items()}


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
    while name and name not in PATHS:
        name = name.rpartition(".")[0]
    return name or None


def edges(module: str) -> set[str]:
    targets = map(module_of, imports(modules()[module]))
    return {target for target in targets if target} - {module}


@cache
def all_edges() -> dict[str, set[str]]:
    """What each module imports of ours."""
    return {module: edges(module) for module in PATHS}
