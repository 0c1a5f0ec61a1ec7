"""The documentation site: what is made from the registry, and the check of its links."""

import pytest

from dashscope_oss import all_models
from tests.docs.pages import ROOT, read
from website.docstrings import plain
from website.families import families, page
from website.links import broken_links
from website.staging import linked, marked


def test_every_model_is_on_the_page_of_one_family():
    pages = [model for models in families().values() for model in models]
    assert sorted(model.id for model in pages) == sorted(model.id for model in all_models())


def test_a_page_shows_the_template_as_it_is_sent():
    text = page("ziya", families()["ziya"])
    assert "<human>:And the Great Wall?\n<bot>:" in text
    assert "`</s>` `<human>`" in text
    assert "`Fengshenbang/Ziya-LLaMA-13B-v1 v1.0.3`" in text


def test_a_page_says_what_is_guessed_and_on_which_day_a_price_was_read():
    text = page("kimi", families()["kimi"])
    assert "No source states this of `kimi-k2.7-code`; it follows from similar models" in text
    assert "0.0065, 0.027 (2026-10-09)" in text
    assert "?; free: 1,000,000 tokens" in page("llama2", families()["llama2"])


def test_a_family_says_where_its_weights_are():
    """Or nothing, where no record and no page says it."""
    baichuan = page("baichuan2", families()["baichuan2"])
    assert "## Weights" in baichuan
    assert "serving.md#the-five-families" in baichuan
    assert "## Weights" not in page("kimi", families()["kimi"])


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    """A reader may be led to another site; the page itself may load nothing from there."""
    html = """
        <a href="../b/#there"> <a href="../b/#gone"> <a href="../c/"> <img src="data:,">
        <a href="https://example.invalid/"> <a href="#here"> <p id="here">
        <script src="https://example.invalid/x.js">
    """
    for name, text in (("a", html), ("b", '<p id="there">')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(text)
    broken = ["../b/#gone", "../c/", "https://example.invalid/x.js"]
    assert sorted(broken_links(tmp_path)) == [f"a/index.html: {address}" for address in broken]


@pytest.mark.parametrize(
    ("source", "target", "links"),
    [
        (
            "docs/index.md",
            "x/index.md",
            {
                "[a](../CHANGELOG.md)": "[a](../project/changes.md)",
                "[a](errors.md#in-langchain)": "[a](../errors.md#in-langchain)",
                "[a](https://example.invalid/x.md)": "[a](https://example.invalid/x.md)",
                "[a](#here)": "[a](#here)",
                "[the file](../Makefile)": "the file",
            },
        ),
        (
            "docs/zh/index.md",
            "index.md",
            {
                "[a](gateway/index.md)": "[a](gateway/index.md)",
                "[a](../errors.md#in-langchain)": "[a](../errors/#in-langchain)",
                "[the file](../../Makefile)": "the file",
            },
        ),
        (
            "docs/zh/gateway/serving.md",
            "gateway/serving.md",
            {
                "[a](../../index.md)": "[a](../../)",
                "[a](../../../SECURITY.md)": "[a](../../project/security/)",
            },
        ),
    ],
)
def test_links_of_a_page_suit_its_place_on_the_site(tmp_path, source, target, links):
    """What the site does not have is named without a link; Chinese pages may lead to English."""
    text = "\n".join(links)
    staged = linked(text, ROOT / source, tmp_path / target, tmp_path)
    assert staged == "\n".join(links.values())


def test_every_chinese_page_is_in_its_navigation():
    pages = (ROOT / "docs" / "zh").rglob("*.md")
    names = [path.relative_to(ROOT / "docs" / "zh").as_posix() for path in pages]
    navigation = read("website/navigation.zh.toml")
    assert [name for name in names if f'"{name}"' not in navigation] == []


def test_what_a_block_needs_is_shown_above_it():
    assert (
        marked("<!-- needs a GPU -->\n```sh\nvllm\n```") == '```sh title="needs a GPU"\nvllm\n```'
    )


def test_docstrings_lose_what_only_sphinx_reads():
    assert plain("See :class:`~a.B`::\n\n    code") == "See `a.B`:\n\n    code"
    assert plain("Like :mod:`.b`.\n\n::\n\n    code") == "Like `b`.\n\n    code"


def test_every_page_is_in_the_navigation():
    """And nothing in it is missing."""
    navigation = read("website/navigation.en.toml")
    pages = (path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md"))
    english = [path.as_posix() for path in pages if path.parts[0] != "zh"]
    assert [name for name in english if f'"{name}"' not in navigation] == []
