"""The documentation in a real browser, at a desk and on a phone; `make docs` has built it."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import expect

from website.build import HTML

PAGES = ("", "frameworks/langchain/", "gateway/serving/", "models/ziya/", "errors/", "zh/")
PHONE = {"width": 390, "height": 844}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def site():
    """The address of the built site."""
    if not (HTML / "index.html").exists():
        pytest.fail("the site is not built: run `make docs`")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=HTML))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_a_phone(page, site, path):
    """What is too wide scrolls by itself. The fixture sees to it that nothing comes from afar."""
    page.set_viewport_size(PHONE)
    page.goto(f"{site}/{path}")
    expect(page.locator("h1").first).to_be_visible()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"]


def test_the_search_finds_an_error(page, site):
    page.goto(site)
    page.locator("button.md-search__button").click()
    page.locator("input:visible").fill("ContextLengthError")
    expect(page.locator("a[href*='h=ContextLengthError']").first).to_be_visible()


def test_code_can_be_copied(page, site):
    page.goto(site)
    expect(page.locator("pre button, .md-code__button, .md-clipboard").first).to_be_attached()
