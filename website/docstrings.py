"""Docstrings on the site: what only Sphinx reads becomes plain."""

from __future__ import annotations

import re

ROLE = re.compile(r":[a-z]+:`~?([^`<]+)`")
BLOCK = re.compile(r"(?<=\S)::$", re.MULTILINE)
BLOCK_ALONE = re.compile(r"^\s*::\n", re.MULTILINE)


def plain(docstring: str) -> str:
    """Return the docstring without roles, and without the colons that begin a block."""
    without_roles = ROLE.sub(lambda role: f"`{role[1].lstrip('.')}`", docstring)
    return BLOCK.sub(":", BLOCK_ALONE.sub("", without_roles))
