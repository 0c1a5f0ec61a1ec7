"""Build the documentation site into .cache/site/html: ``python -m website.build``.

It fails at a warning of the builder, and at a link that leads nowhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from website.families import families, title
from website.links import broken_links
from website.staging import ROOT, stage_chinese, stage_english

SITE = ROOT / ".cache" / "site"
HTML = SITE / "html"
SETTINGS = ROOT / "website"


def main() -> None:
    """Put the pages of both languages together, build them, and check every link."""
    shutil.rmtree(SITE, ignore_errors=True)
    stage_english(SITE / "docs")
    stage_chinese(SITE / "zh" / "docs")
    run_builder(SITE, "en")
    run_builder(SITE / "zh", "zh")
    shutil.move(SITE / "zh" / "html", HTML / "zh")
    (HTML / "zh" / "404.html").unlink()  # a server shows the one above
    broken = broken_links(HTML)
    if broken:
        sys.exit("links that lead nowhere:\n" + "\n".join(broken))
    pages = sum(1 for _ in HTML.rglob("*.html"))
    print(f"{pages} pages: {HTML.relative_to(ROOT)}/index.html")


def run_builder(folder: Path, language: str) -> None:
    """Build what was put into the folder; a warning ends it."""
    (folder / "zensical.toml").write_text(settings(language), "utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=folder, env=environment, check=True)  # noqa: S603 - all ours


def settings(language: str) -> str:
    """Return the builder's settings for a language, as TOML."""
    names = (f"navigation.{language}.toml", "zensical.toml")
    text = "\n".join((SETTINGS / name).read_text("utf-8") for name in names)
    return text.replace('"@families@"', family_entries()).replace("@language@", language)


def family_entries() -> str:
    """Return the families as entries of the navigation, in TOML."""
    titles = {name: title(name, models) for name, models in families().items()}
    return ", ".join(f'{{ "{words}" = "models/{name}.md" }}' for name, words in titles.items())


if __name__ == "__main__":
    main()
