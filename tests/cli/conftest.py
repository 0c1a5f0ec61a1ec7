"""The command as a user runs it: in this process, or, to serve, in one of its own."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from dashscope_oss.cli import main

PROGRAM = (sys.executable, "-m", "dashscope_oss")


@pytest.fixture
def command(capsys):
    """Run the command: ``status, out, err = command("models", "--json")``."""

    def run(*arguments):
        status = main(arguments)
        return (status, *capsys.readouterr())

    return run


@pytest.fixture
def serving():
    """Run ``serve`` in a process: ``with serving(*arguments) as base_url``."""
    return serve


@contextmanager
def serve(*arguments, stderr=None, **environment):
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        ready = process.stdout.readline()
        yield re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+/api/v1)\n", ready)[1]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) in (0, 130)
        process.stdout.close()


@pytest.fixture
def batch(command, tmp_path, monkeypatch):
    """Run it in a folder: ``status, out, err = batch(engine, "in.jsonl", "out.jsonl")``."""
    monkeypatch.chdir(tmp_path)

    def run(engine, source, output, *arguments, model="llama3-8b-instruct"):
        named = ("--model", model) if model else ()
        url = ("--base-url", engine.base_url)
        return command("batch", source, output, *named, *url, *arguments)

    return run
