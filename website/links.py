"""Every link of the built site leads to a page or a file of it, and to a place on the page."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ADDRESSES = {"a": "href", "img": "src", "link": "href", "script": "src"}
ELSEWHERE_ALLOWED = {"a"}
"""A reader may follow a link away; the page itself loads nothing from elsewhere."""


class Page(HTMLParser):
    """What a page links to, and the places on it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.places: set[str] = {""}
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the links and the places of one element."""
        attributes = dict(attrs)
        self.places.update(filter(None, (attributes.get("id"), attributes.get("name"))))
        address = attributes.get(ADDRESSES.get(tag, ""))
        if address is not None and attributes.get("rel") != "canonical":
            self.links.append((tag, address))


read = cache(Page)


def broken_links(site: Path) -> list[str]:
    """Return the page and the address of each link that leads nowhere."""
    return [
        f"{path.relative_to(site)}: {address}"
        for path in sorted(site.rglob("*.html"))
        for address in broken(path, site)
    ]


def broken(path: Path, site: Path) -> Iterator[str]:
    """Yield the page's addresses that lead nowhere."""
    base = site if path.name == "404.html" else path.parent
    for tag, address in read(path).links:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            if tag not in ELSEWHERE_ALLOWED and parts.scheme != "data":
                yield address
            continue
        start = site if parts.path.startswith("/") else base
        target = (start / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
        if target.is_dir():
            target /= "index.html"
        is_page = target.suffix == ".html" and target.exists()
        if not target.exists() or (is_page and unquote(parts.fragment) not in read(target).places):
            yield address
