"""The pages of docs/ and of the repository's root, as the site needs them."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from website.families import families, page, title

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
CHINESE = DOCS / "zh"
THEME = ROOT / "website" / "theme"
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
    "batch": "dashscope_oss.batch",
}
"""The packages whose public names have a page, by the name of the page."""
SETTINGS = {
    "langchain_dashscope_oss": "langchain_dashscope_oss._settings.fields.Settings",
    "llama_index_dashscope_oss": "llama_index_dashscope_oss._settings.fields.LLMSettings",
}
"""The class with the settings of a package's model classes, which refer to it."""
FAMILIES = """## The families

Each has a page: abilities, limits, an example, the prompt template, the weights."""
MARK = re.compile(r"^<!-- (needs [^>]*) -->\n```(\w+)\n", re.MULTILINE)
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def stage_english(target: Path) -> None:
    """Write every page of the English site below ``target``."""
    guides = {path: path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    project = {ROOT / source: name for source, name in PROJECT.items() if name != "index.md"}
    for source, name in (guides | project).items():
        if CHINESE not in source.parents:
            write_page(source, target / name, target)
    for name, package in REFERENCE.items():
        write(target / "reference" / f"{name}.md", reference(package))
    stage_families(target)
    shutil.copytree(THEME, target / "theme")


def reference(package: str) -> str:
    """Return the page of a package, with the settings of its classes."""
    page = f"# {package}\n\n::: {package}\n"
    if settings := SETTINGS.get(package):
        page += f"\n## Settings\n\n::: {settings}\n    options:\n      members: false\n"
    return page


def stage_chinese(target: Path) -> None:
    """Write every page of the Chinese site, which stands in the English one's folder ``zh``.

    A link to a page that is there in English only leads to its address.
    """
    for source in CHINESE.rglob("*.md"):
        write_page(source, target / source.relative_to(CHINESE), target)
    shutil.copytree(THEME, target / "theme")


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
        address = address_on_site((source.parent / address).resolve(), source, target, site)
        return f"[{words}]({address}{place})" if address else words

    return LINK.sub(on_site, text)


def address_on_site(path: Path, source: Path, target: Path, site: Path) -> str:
    """Return the address of a file, seen from the page ``source``; empty if it is not there."""
    chinese = CHINESE in source.parents
    if chinese and CHINESE in path.parents:
        return relative(site / path.relative_to(CHINESE), target.parent)
    name = english_name(path)
    if name is None:
        return ""
    if chinese:  # the builder takes addresses as seen from the page's file
        return f"{relative(folder(name), 'zh' / target.relative_to(site).parent)}/"
    return relative(site / name, target.parent)


def english_name(path: Path) -> Path | None:
    """Return what a file is called on the English site."""
    if DOCS in path.parents:
        return path.relative_to(DOCS)
    name = PROJECT.get(path.relative_to(ROOT).as_posix())
    return Path(name) if name else None


def folder(name: Path) -> Path:
    """Return the folder that the page of that name becomes."""
    return name.parent if name.name == "index.md" else name.with_suffix("")


def relative(path: Path, start: Path) -> str:
    """Return the way from ``start`` to ``path`` as a browser writes it."""
    return Path(os.path.relpath(path, start)).as_posix()


def write_page(source: Path, target: Path, site: Path) -> None:
    """Write a page as the site needs it."""
    text = marked(source.read_text("utf-8"))
    write(target, linked(text, source, target, site))


def marked(text: str) -> str:
    """Return the page's text with what a block of code needs shown above it."""
    return MARK.sub(r'```\2 title="\1"\n', text)


def write(path: Path, text: str) -> None:
    """Write a file, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
