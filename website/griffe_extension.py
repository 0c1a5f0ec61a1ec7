"""The extension of griffe, which reads the docstrings for the site, that makes them plain."""

from __future__ import annotations

from typing import Any

import griffe

from website.docstrings import plain


class PlainRoles(griffe.Extension):
    """Rewrites each docstring when it is read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:  # noqa: ANN401 - griffe's
        """Rewrite one docstring."""
        if obj.docstring:
            obj.docstring.value = plain(obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:  # noqa: ANN401 - griffe's
        """Rewrite the docstring of a package, which is no object of another one."""
        self.on_object(obj=pkg)
