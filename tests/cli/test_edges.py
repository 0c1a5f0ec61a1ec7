"""The command at its edges: readers that leave, warnings, models that are served."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings

import httpx
import pytest

from dashscope_oss.cli import main

COMMAND = (sys.executable, "-m", "dashscope_oss")


@pytest.mark.parametrize("arguments", [("models", "--json"), ("models", "glm-5")])
def test_a_reader_who_has_seen_enough_is_no_failure(arguments):
    """``dashscope-oss models | head``: no traceback, whether much was to be printed or little."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )
    process.stdout.close()
    with process:
        complaints = process.stderr.read()
    assert (process.returncode, complaints) == (0, "")


def test_a_warning_is_one_line_of_the_commands_own(gateway, capsys):
    """Without the file and line of the code that warned."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["ask", "never-heard-of", "hi", "--base-url", gateway().base_url]) == 1

    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("dashscope-oss: warning: no record of the model 'never-heard-of'")
    assert second.startswith("dashscope-oss: never-heard-of: Model can not be found")


def test_every_model_that_is_named_is_served():
    """``--model`` may be repeated; the server behind it may come up later."""
    arguments = ("serve", "--port", "0", "--engine", "openai")
    upstream = ("--upstream", "http://127.0.0.1:9/v1", "--model", "one=a", "--model", "two=b")
    with subprocess.Popen(
        [*COMMAND, *arguments, *upstream], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            url = process.stdout.readline().split()[-1]
            listed = httpx.get(f"{url}/models").text
        finally:
            process.send_signal(signal.SIGINT)

    assert '"one"' in listed
    assert '"two"' in listed
    assert process.returncode == 130
