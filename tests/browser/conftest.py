"""A real browser: these tests run when they are asked for by name, as `make browser` does."""

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Nothing of its own may go over the network; as root it has no sandbox.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def pytest_ignore_collect(config):
    """They need what not every developer has; a plain `pytest` leaves them out."""
    return None if any("browser" in argument for argument in config.args) else True


@pytest.fixture(scope="session")
def browser():
    """Chromium, without a screen. It must be there: no test is skipped for lack of it."""
    from playwright.sync_api import sync_playwright

    chosen = os.environ.get("CHROMIUM")
    executable = next(filter(None, map(shutil.which, (chosen,) if chosen else NAMES)), None)
    if executable is None:
        pytest.fail("no Chromium: install it (apt-get install chromium), or name it in CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=[*ARGUMENTS])
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """An empty page. A request to another host fails the test, and so does an error in the page."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(15_000)
    foreign_requests, page_errors = [], []
    page.on("request", lambda request: foreign_requests.append(request.url))
    page.on("pageerror", lambda error: page_errors.append(str(error)))
    yield page
    context.close()
    assert not [
        url for url in foreign_requests if not url.startswith(("http://127.0.0.1:", "data:"))
    ]
    assert not page_errors
