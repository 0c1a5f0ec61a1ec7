"""Types of single fields of the configuration file."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field


def _check_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("it must be one line of text, and not empty")
    return text


def _check_path(text: str) -> str:
    # A whole address would get the upstream's key.
    if not re.fullmatch(r"/|/?[^/\s:#][^\s:#]*", text):
        raise ValueError("it must be a path below url, or with a leading slash from the root")
    return text


def _check_host(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+|[0-9a-fA-F:]+", text, re.ASCII):
        raise ValueError("it must be a name alone, without http:// and port")
    return text


Port = Annotated[int, Field(ge=0, le=65535)]
Line = Annotated[str, AfterValidator(_check_line)]
Path = Annotated[str, AfterValidator(_check_path)]
Host = Annotated[str, AfterValidator(_check_host)]
