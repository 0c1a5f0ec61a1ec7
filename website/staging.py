"""The pages of docs/ and of the repository's root, as the site needs them."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from website.families import families, page, title

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PROJECT = {
    "CHANGELOG.md": "project/changes.md",
    "SECURITY.md": "project/security.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "benchmarks/README.md": "project/benchmarks.md",
    "README.md": "index.md",
}
"""Pages outside docs/, and what links to them lead to on the site."""
REFERENCE = {
    "dashscope_oss": "dashscope_oss",
    "langchain_dashscope_oss": "langchain_dashscope_oss",
    "llama_index_dashscope_oss": "llama_index_dashscope_oss",
    "gateway": "dashscope_oss.gateway",
}
"""The packages whose public names have a page, by the name of the page."""
FAMILIES = """## The families

Each has a page: abilities, limits, an example, the prompt template, the weights."""
MARK = re.compile(r"^<!-- (needs [^>]*) -->\n```(\w+)\n", re.MULTILINE)
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def stage_english(target: Path) -> None:
    """Write every page of the English site below ``target``."""
    names = {path: path.relative_to(DOCS).as_posix() for path in sorted(DOCS.rglob("*.md"))}
    guides = {path: name for path, name in names.items() if not name.startswith("zh/")}
    project = {ROOT / source: name for source, name in PROJECT.items() if name != "index.md"}
    for source, name in (guides | project).items():
        write(target / name, linked(source.read_text("utf-8"), source, target / name, target))
    for name, package in REFERENCE.items():
        write(target / "reference" / f"{name}.md", f"# {package}\n\n::: {package}\n")
    stage_families(target)
    shutil.copytree(ROOT / "website" / "theme", target / "theme")


def stage_families(target: Path) -> None:
    """Write a page for each family, and the list of them below the table of models."""
    lines = []
    for family, models in families().items():
        write(target / "models" / f"{family}.md", page(family, models))
        lines.append(f"- [{title(family, models)}]({family}.md)")
    index = target / "models" / "index.md"
    index.write_text("\n".join([index.read_text("utf-8"), FAMILIES, "", *lines, ""]), "utf-8")


def linked(text: str, source: Path, target: Path, site: Path) -> str:
    """Return the page's text, with links that suit its place on the site.

    What the site does not have, such as code, is named without a link.
    """

    def on_site(match: re.Match[str]) -> str:
        words, address, place = match[1], match[2], match[3] or ""
        path = (source.parent / address).resolve()
        if path.is_relative_to(DOCS):
            name = path.relative_to(DOCS).as_posix()
        else:
            name = PROJECT.get(path.relative_to(ROOT).as_posix(), "")
        address = Path(os.path.relpath(site / name, target.parent)).as_posix()
        return f"[{words}]({address}{place})" if name else words

    return LINK.sub(on_site, marked(text))


def marked(text: str) -> str:
    """Return the page's text with what a block of code needs shown above it."""
    return MARK.sub(r'```\2 title="\1"\n', text)


def write(path: Path, text: str) -> None:
    """Write a file, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
