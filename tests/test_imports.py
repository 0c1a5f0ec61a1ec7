"""What the packages import, and what they must not know."""

import ast
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator

import pytest

from tests.house import ADAPTERS, CORE, PATHS, check, imports, is_within, modules

FRAMEWORKS = ("langchain", "langchain_core", "llama_index", "llama_index_workflows")


def test_the_core_knows_no_framework():
    check("core imports", strangers(CORE, (*FRAMEWORKS, *ADAPTERS)))


def test_adapters_do_not_know_each_other():
    """An adapter imports its own framework and the core."""
    check("adapter imports", strangers("langchain_dashscope_oss", ("llama_index", ADAPTERS[1])))
    check(
        "adapter imports", strangers("llama_index_dashscope_oss", ("langchain_core", ADAPTERS[0]))
    )


def test_nothing_needs_the_vendors_sdk():
    for package in (CORE, *ADAPTERS):
        check("the vendor's SDK", strangers(package, ("dashscope",)))


def strangers(package: str, forbidden: Iterable[str]) -> Iterator[str]:
    for module in (name for name in PATHS if is_within(name, package)):
        for name in imports(modules()[module]):
            if any(is_within(name, each) for each in forbidden):
                yield f"{module} -> {name}"


def test_the_client_stands_on_httpx2():
    """Not on httpx, nor on what either is made of; httpcore2's network backends are public."""
    check("old client", strangers(CORE, ("httpx", "httpcore", "h11")))
    for adapter in ADAPTERS:
        check("old client", strangers(adapter, ("httpx", "httpcore")))


LIBRARIES = ("httpx2", "httpcore2", "uvicorn")


def test_no_private_name_of_a_library_is_used():
    """What httpx2, httpcore2 and uvicorn do not document may change in any version."""
    uses = (f"{module}: {use}" for module, tree in modules().items() for use in private_uses(tree))
    check("private name", uses)


def private_uses(tree: ast.Module) -> Iterator[str]:
    """Private names of LIBRARIES that a module imports, reads, or overrides in a subclass."""
    names = library_names(tree)
    yield from (full for full in names.values() if is_private(full))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            full = full_name(node, names)
            if full and is_private(full):
                yield full
        elif isinstance(node, ast.ClassDef):
            for base in filter(None, (full_name(base, names) for base in node.bases)):
                yield from (f"{node.name}.{name} of {base}" for name in inherited(node, base))


def library_names(tree: ast.Module) -> dict[str, str]:
    """What a module calls the things that it imports from LIBRARIES, and their full names."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                names[name.asname or name.name.partition(".")[0]] = name.name
        elif isinstance(node, ast.ImportFrom):
            names |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
    return {name: full for name, full in names.items() if full.partition(".")[0] in LIBRARIES}


def full_name(node: ast.expr, names: dict[str, str]) -> str | None:
    """What an expression such as `httpx2.Client` names in full, if it is a library's."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and (before := full_name(node.value, names)):
        return f"{before}.{node.attr}"
    return None


def is_private(full: str) -> bool:
    return any(part.startswith("_") for part in full.split(".")) or is_within(
        full, "uvicorn.protocols"
    )


def inherited(node: ast.ClassDef, base: str) -> set[str]:
    """Private names of a library's class that a subclass of it uses or overrides."""
    own = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
    own |= {
        each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    return own & private_names(base)


def private_names(full: str) -> set[str]:
    """The private methods and attributes of a library's class and of its own bases."""
    module, _, name = full.rpartition(".")
    names: set[str] = set()
    for base in getattr(importlib.import_module(module), name).__mro__[:-1]:
        names.update(vars(base))
        for member in vars(base).values():
            code = getattr(getattr(member, "fget", member), "__code__", None)
            names.update(code.co_names if code else ())
    return {name for name in names if re.match("_[a-z]", name)}


@pytest.mark.parametrize(
    "code",
    [
        "from httpx2._client import ClientState",
        "import httpcore2\nhttpcore2._sync.connection",
        "import uvicorn as u\nu.protocols.http.auto",
        "from httpx2 import Client\nclass Own(Client):\n    def close(self): self._mounts.clear()",
        "from uvicorn.protocols.utils import ClientDisconnected",
    ],
)
def test_private_names_are_noticed(code):
    """The rule above sees the ways in which it is usually broken."""
    assert list(private_uses(ast.parse(code)))


HEAVY = {
    *("langchain_core", "llama_index", "uvicorn", "xllamacpp", "dashscope"),
    *("requests", "aiohttp", "openai", "tiktoken", "numpy"),
}


def test_importing_the_core_loads_no_framework_nor_what_only_the_gateway_needs():
    script = (
        "import json, sys, dashscope_oss; "
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert not HEAVY.intersection(json.loads(run.stdout))
