"""Build the documentation site into .cache/site/html: ``python -m website.build``.

It fails at a warning of the builder, and at a link that leads nowhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from website.families import families, title
from website.links import broken_links
from website.staging import ROOT, stage_english

SITE = ROOT / ".cache" / "site"
HTML = SITE / "html"


def main() -> None:
    """Put the pages together, build them, and check every link."""
    shutil.rmtree(SITE, ignore_errors=True)
    stage_english(SITE / "docs")
    run_builder("zensical.toml")
    broken = broken_links(HTML)
    if broken:
        sys.exit("links that lead nowhere:\n" + "\n".join(broken))
    pages = sum(1 for _ in HTML.rglob("*.html"))
    print(f"{pages} pages: {HTML.relative_to(ROOT)}/index.html")


def run_builder(name: str) -> None:
    """Build what was put together, with the settings of that name; a warning ends it."""
    settings = (ROOT / "website" / name).read_text("utf-8")
    (SITE / "zensical.toml").write_text(settings.replace('"@families@"', family_entries()), "utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=SITE, env=environment, check=True)  # noqa: S603 - no part of it is foreign


def family_entries() -> str:
    """Return the families as entries of the navigation, in TOML."""
    titles = {name: title(name, models) for name, models in families().items()}
    return ", ".join(f'{{ "{words}" = "models/{name}.md" }}' for name, words in titles.items())


if __name__ == "__main__":
    main()
