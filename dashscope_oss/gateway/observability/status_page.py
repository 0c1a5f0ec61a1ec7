"""The status page: one HTML file, and the headers that let it run its own code only."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

CONTENT_TYPE = b"text/html; charset=utf-8"


@cache
def status_page() -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    """Return the page and its headers.

    Under its content security policy only its own script and style run, which are named by their
    hashes, and it can connect to this gateway only.
    """
    html = Path(__file__).with_name("status.html").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src {_hash(html, 'script')}; "
        f"style-src {_hash(html, 'style')}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html.encode(), (
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    )


def _hash(html: str, element: str) -> str:
    match = re.search(f"<{element}>(.*?)</{element}>", html, flags=re.DOTALL)
    content = match[1] if match else ""
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"
