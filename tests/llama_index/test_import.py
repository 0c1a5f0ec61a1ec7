"""What an import needs and what it leaves alone; what packaging promises."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

from llama_index.core.llms.function_calling import FunctionCallingLLM

ROOT = Path(__file__).parents[2]


def complaint(preparation):
    """What an import says after ``preparation``."""
    code = f"import sys; {preparation}; import llama_index_dashscope_oss"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return run.stderr


def test_with_too_old_a_llama_index_the_import_names_the_extra():
    as_in_0_12 = "import llama_index.core.base.llms.types as types; del types.CachePoint"
    assert 'pip install "dashscope-oss[llama-index]"' in complaint(as_in_0_12)


def test_a_fault_of_another_package_is_not_taken_for_a_missing_llama_index():
    said = complaint("sys.modules['httpx2'] = None")
    assert "import of httpx2 halted" in said
    assert "pip install" not in said


def test_an_import_changes_nothing_of_others():
    """No attribute of LlamaIndex, no filter of warnings, no handler, no setting."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.llama_index.global_state"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert run.stdout == ""


def test_what_llama_hub_reads_is_there():
    """Import path and class are real, and there is the example it claims."""
    folder = ROOT / "distributions" / "llama-index"
    hub = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["tool"]["llamahub"]
    assert folder.joinpath(*hub["import_path"].split("."), "__init__.py").exists()
    (name,) = hub["class_authors"]
    package = importlib.import_module("llama_index_dashscope_oss")
    assert issubclass(getattr(package, name), FunctionCallingLLM)
    assert hub["contains_example"]
    assert (folder / "example.ipynb").exists()
