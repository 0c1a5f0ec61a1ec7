"""Writes what an import of the adapter changes outside of it; run by ``test_import.py``.

What the adapter imports is imported first, so that only its own doing is seen.
"""

import ast
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ADAPTER = "llama_index_dashscope_oss"
LIBRARIES = ("llama_index", "llama_index_instrumentation", "pydantic", "httpx2", "dashscope_oss")
FOLDER = Path(__file__).parents[2] / ADAPTER


def import_dependencies() -> None:
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and not node.module.startswith(ADAPTER):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    if not hasattr(module, alias.name):  # younger than an old core
                        with suppress(ImportError):
                            importlib.import_module(f"{node.module}.{alias.name}")


def state() -> dict[str, object]:
    """Everything global that a library could change, by name."""
    from llama_index.core import Settings
    from llama_index.core.instrumentation import root_dispatcher

    return {
        "warnings.filters": list(warnings.filters),
        "os.environ": dict(os.environ),
        "root logger": (list(logging.root.handlers), logging.root.level, logging.root.filters),
        "sys hooks": (sys.excepthook, sys.displayhook, list(sys.meta_path), list(sys.path)),
        "Settings": dict(vars(Settings)),
        "event handlers": list(root_dispatcher.event_handlers),
        "span handlers": list(root_dispatcher.span_handlers),
        **dict(attributes()),
    }


def attributes() -> Iterator[tuple[str, object]]:
    """The attributes of the libraries' modules, and of the classes in them."""
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] in LIBRARIES:
            for name, value in list(vars(module).items()):
                yield f"{module_name}.{name}", value
                if isinstance(value, type):
                    for attribute, each in list(vars(value).items()):
                        yield f"{module_name}.{name}.{attribute}", each


def is_same(before: object, after: object) -> bool:
    plain = (list, dict, tuple)
    return before is after or (isinstance(after, plain) and bool(before == after))


if __name__ == "__main__":
    import_dependencies()
    before = state()
    importlib.import_module(ADAPTER)
    after = state()
    for name in before.keys() | after.keys():
        if not is_same(before.get(name), after.get(name)):
            sys.stdout.write(f"{name}\n")
