"""Docstrings on the site: what only Sphinx reads becomes plain."""

from __future__ import annotations

import re

ROLE = re.compile(r":[a-z]+:`~?([^`<]+)`")
BLOCK = re.compile(r"::$", re.MULTILINE)


def plain(docstring: str) -> str:
    """Return the docstring without roles, and without the second colon before a block."""
    return BLOCK.sub(":", ROLE.sub(r"`\1`", docstring))
