"""What holds for every command: wrong use, warnings, a closed pipe, a quick start."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from dashscope_oss.cli import main
from tests.cli.conftest import PROGRAM

ASK = ("ask", "llama3-8b-instruct", "hi")
OPENAI = ("serve", "--engine", "openai", "--upstream", "http://127.0.0.1:9/v1")
SCRIPTED = ("serve", "--engine", "scripted")
FREE_PORT = ("--port", "0")


def test_without_a_command_it_lists_all(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("ask", "serve", "batch", "doctor"))


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (ASK, 2, "DASHSCOPE_API_KEY"),
        (("ask", "llama3-8b-instruct", " ", "--base-url", "http://127.0.0.1:9/api/v1"), 2, "empty"),
        ((*ASK, "--base-url", "nowhere"), 2, "bad base_url 'nowhere'"),
        ((*ASK, "--base-url", "http://127.0.0.1:9"), 2, "/api/v1"),
        (
            (*ASK, "--base-url", "http://127.0.0.1:9/api/v1"),
            1,
            "127.0.0.1:9: [Errno 111] Connection refused. Check base_url, the network, and whether",
        ),
        (("serve", "--upstream", "http://127.0.0.1:9/v1"), 2, "--upstream is for --engine openai"),
        (("serve", "--script", "x.json"), 2, "--script is for --engine scripted"),
        (("serve", "--threads", "0"), 2, "--threads must be at least 1"),
        (("serve", "--grace", "-1"), 2, "--grace must be at least 0"),
        (
            ("serve", "--config", "missing.toml"),
            2,
            "cannot read the configuration file missing.toml",
        ),
        (("key", "two words"), 2, "bad name of a key 'two words'"),
        (("serve", "--engine", "openai"), 2, "--upstream"),
        (OPENAI, 2, "--model ID"),
        ((*OPENAI, "--model", "x"), 2, "ID=NAME"),
        ((*OPENAI, "--model", "x=a", "--model", "x=b"), 2, "gives an id twice"),
        (
            ("serve", "--engine", "openai", "--upstream", "x", "--default-model", "y", *FREE_PORT),
            2,
            "bad --upstream 'x'",
        ),
        ((*SCRIPTED, "--script", "missing.json"), 2, "missing.json"),
        (("serve", "--gguf", "missing.gguf", *FREE_PORT), 2, "cannot read the model file"),
        ((*SCRIPTED, "--host", "host.invalid"), 2, "cannot listen on"),
        ((*SCRIPTED, "--host", ".."), 2, "cannot listen on"),
        ((*SCRIPTED, "--port", "70000"), 2, "cannot listen on"),
    ],
)
def test_wrong_use_is_reported_with_the_way_out(command, monkeypatch, arguments, status, text):
    """A clear line on stderr and a status, never a trace."""
    monkeypatch.setattr("time.sleep", lambda _: None)

    got, out, complaint = command(*arguments)

    assert (got, out) == (status, "")
    assert complaint.startswith("dashscope-oss: ")
    assert text in complaint
    assert "Traceback" not in complaint


@pytest.mark.parametrize("arguments", [("models", "--json"), ("models", "glm-5")])
def test_a_reader_who_has_seen_enough_is_no_failure(arguments):
    """``dashscope-oss models | head``: no traceback, whether much was to be printed or little."""
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )
    process.stdout.close()
    with process:
        complaints = process.stderr.read()
    assert (process.returncode, complaints) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("arguments", [("models", "--json"), ("models", "glm-5")])
def test_a_full_disk_is_told_in_one_line(arguments):
    """Whether much was to be printed or little."""
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [*PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    complaint = "dashscope-oss: cannot write the output: No space left on device\n"
    assert (process.returncode, process.stderr) == (1, complaint)


@pytest.mark.parametrize(
    ("error", "complaint"),
    [
        (PermissionError(13, "Permission denied", "rows.csv"), "cannot use rows.csv: Permission"),
        (OSError("odd"), "cannot write the output: odd"),
    ],
)
def test_what_the_system_refuses_is_told_in_one_line_without_stdout_too(
    command, monkeypatch, error, complaint
):
    def refuse(_):
        raise error

    monkeypatch.setattr("dashscope_oss.cli.models.run", refuse)
    monkeypatch.setattr(sys, "stdout", None)
    status, _, err = command("models")

    assert status == 1
    assert err.startswith(f"dashscope-oss: {complaint}")


def test_a_closed_stdout_is_no_failure():
    """Some supervisors start their programs without one."""
    code = "import sys; from dashscope_oss.cli import main\nsys.stdout = None\n"
    process = subprocess.run(
        [sys.executable, "-c", f"{code}sys.exit(main(['models', 'glm-5']))"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert (process.returncode, process.stderr) == (0, "")


def test_a_warning_is_one_line_of_the_commands_own(command, gateway):
    """Without the file and line of the code that warned."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        status, _, complaint = command(
            "ask", "never-heard-of", "hi", "--base-url", gateway().base_url
        )

    warning, error = complaint.splitlines()
    assert status == 1
    assert warning.startswith("dashscope-oss: warning: ")
    assert "'never-heard-of'" in warning
    assert error.startswith("dashscope-oss: never-heard-of: ")


def test_help_starts_without_loading_what_the_commands_need():
    """The catalog, the gateway and its server are loaded by the commands that use them."""
    code = (
        "import sys; from dashscope_oss.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print('LOADED', *sys.modules)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    shown, _, loaded = child.stdout.partition("LOADED")
    assert "models" in shown
    assert {"uvicorn", "dashscope_oss.gateway"}.isdisjoint(loaded.split())
