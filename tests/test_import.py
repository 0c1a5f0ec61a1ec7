"""Importing the core imports no framework."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ["langchain_core", "llama_index", "uvicorn", "xllamacpp", "dashscope"]


def test_the_core_imports_neither_framework_nor_what_only_the_gateway_needs():
    script = (
        "import json, sys, dashscope_oss; "
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert not set(json.loads(run.stdout)) & set(HEAVY)


def test_every_public_name_is_there():
    import dashscope_oss

    assert [name for name in dashscope_oss.__all__ if not hasattr(dashscope_oss, name)] == []
    assert dashscope_oss.__all__ == sorted(dashscope_oss.__all__)
