"""The fixture for users' own tests, in a pytest of its own."""

import os
import subprocess
import sys

TEST = """
import httpx2

PATH = "/services/aigc/text-generation/generation"
BODY = {"model": "llama3-8b-instruct", "input": {"messages": [{"role": "user", "content": "Hi"}]}}


def test_mine(dashscope_gateway):
    engine = dashscope_gateway({"text": "Hello!"}, {"status": 429})
    answers = [httpx2.post(engine.base_url + PATH, json=BODY) for _ in range(2)]
    assert answers[0].json()["output"]["text"] == "Hello!"
    assert answers[1].status_code == 429
    assert engine.requests[0].body == BODY


def test_echo(dashscope_gateway):
    answer = httpx2.post(dashscope_gateway().base_url + PATH, json=BODY)
    assert answer.json()["output"]["text"] == "You said: Hi"
"""
PLUGIN = "dashscope_oss.pytest_plugin"


def run(folder, test, before=""):
    """Run pytest as a user would, with this plugin and no other."""
    (folder / "test_mine.py").write_text(test, "utf-8")
    (folder / "conftest.py").write_text(before, "utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider"],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_user_gets_a_gateway_that_answers_from_a_script(tmp_path):
    """Entries as dicts, what arrived, and without a script the question comes back."""
    done = run(tmp_path, TEST)

    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_a_bad_entry_says_what_an_entry_is(tmp_path):
    """A typing error in a script is told, with the form."""
    done = run(tmp_path, "def test(dashscope_gateway): dashscope_gateway({'txt': 'a'})")

    assert "cannot use the entry {'txt': 'a'}" in done.stdout
    assert '{"status": 429' in done.stdout


def test_without_the_extra_it_says_what_to_install(tmp_path):
    """Whoever has only the core sees why the fixture cannot work; other tests run."""
    before = "import sys; sys.modules['uvicorn'] = None"
    done = run(
        tmp_path, "def test(dashscope_gateway): dashscope_gateway()\ndef test_other(): pass", before
    )

    assert 'pip install "dashscope-oss[gateway]"' in done.stdout
    assert "1 passed" in done.stdout


def test_loading_the_plugin_loads_next_to_nothing():
    """Every run of pytest pays for it, whether it uses the fixture or not."""
    heavy = {"uvicorn", "dashscope_oss.gateway", "langchain_core"}
    code = f"import sys, {PLUGIN}; print({heavy} & sys.modules.keys())"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
