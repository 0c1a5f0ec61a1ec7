"""The status page in a real browser: what it shows, its playground, and what it never runs."""

import asyncio
import threading

import httpx
import pytest
from playwright.sync_api import expect

from dashscope_oss.gateway import (
    Answer,
    Fault,
    Gateway,
    ScriptedEngine,
    build_load_balancer,
    serve_in_thread,
)
from dashscope_oss.gateway.config import parse_config
from dashscope_oss.messages import Delta, Usage
from tests.gateway.fake_upstream import FakeUpstream, failed

PATH = "/services/aigc/text-generation/generation"
MODEL = "llama3-8b-instruct"
BODY = {"model": MODEL, "input": {"messages": [{"role": "user", "content": "hi"}]}}
USAGE = Usage(input_tokens=1234, output_tokens=5)


@pytest.fixture
def show(gateway, page):
    """Open the page of a gateway with a script; the value is the gateway's base URL."""

    def open_page(*script):
        url = gateway(*script).base_url
        page.goto(url.removesuffix("/api/v1"))
        return url

    return open_page


def ask(page, question, model=MODEL):
    page.get_by_label("Model").select_option(model)
    page.get_by_label("Question").fill(question)
    page.get_by_role("button", name="Ask").click()


def number(page, name):
    return page.locator("dl div", has_text=name).locator("dd")


def test_it_shows_models_and_goes_on_counting(show, page):
    """Calls that others make appear without a reload."""
    url = show(Answer("ok", usage=USAGE))
    row = page.locator("#models tr", has_text=MODEL).first

    expect(page.get_by_role("status")).to_have_text("ready")
    expect(row.locator("td").nth(1)).to_have_text("none (scripted)")
    expect(number(page, "Requests")).to_have_text("0")
    httpx.post(url + PATH, json=BODY)
    expect(number(page, "Requests")).to_have_text("1")
    expect(number(page, "Tokens in")).to_have_text("1,234")
    expect(row.locator("td").nth(2)).to_have_text("1")


@pytest.mark.parametrize(
    "model",
    [
        MODEL,
        "ziya-llama-13b-v1",  # a prompt, and an echo of it
        "deepseek-v4-flash",  # messages both ways
        "kimi-k2.6",  # content in parts
        "qwen3-8b",  # pieces, not all the text so far
        "qwen3.5-27b",  # pieces of parts
    ],
)
def test_the_playground_streams(show, page, model):
    """The first piece is read before the last is there; for every shape of call and reply."""
    hold = threading.Event()
    show(Answer(pieces=("one ", "two"), hold=hold, usage=USAGE))

    ask(page, "Speak.", model)
    expect(page.locator("#answer")).to_contain_text("one")
    expect(page.locator("#answer")).not_to_contain_text("two")
    expect(page.get_by_role("button", name="Ask")).to_be_disabled()
    hold.set()
    expect(page.locator("#answer")).to_contain_text("one two")
    expect(page.get_by_role("button", name="Ask")).to_be_enabled()


def test_the_playground_writes_a_prompt_in_its_familys_form(show, page):
    """Weights that know no messages would only go on with a bare question."""
    show()

    ask(page, "Speak.", "ziya-llama-13b-v1")

    expect(page.locator("#answer")).to_have_text(
        "<s><human> :Speak.\n<bot> : You said: Speak.</s>", use_inner_text=True
    )


def test_the_playground_shows_thoughts_and_tokens(show, page):
    """Thinking apart from the answer, and what it cost."""
    show(Answer("42", reasoning="Let me see.", usage=USAGE))

    ask(page, "6 x 7?", "deepseek-v4-flash")

    expect(page.locator("#thoughts")).to_have_text("Let me see.")
    expect(page.locator("#answer")).to_have_text("42")
    expect(page.locator("#note")).to_have_text("1234 tokens in, 5 out")


@pytest.mark.parametrize("after", [None, 2])
def test_an_error_is_shown_in_the_services_words(show, page, after):
    """At once or in the middle; what came before it stays."""
    show(Fault(429, "Throttling.RateQuota", "Requests rate limit exceeded.", after=after))

    ask(page, "hi")

    expect(page.locator("#note")).to_have_text(
        "Throttling.RateQuota: Requests rate limit exceeded."
    )
    expect(page.locator("#answer")).to_have_text("piece 1 piece 2" if after else "")


HOSTILE = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"


def test_what_models_and_users_write_stays_text(show, page):
    """HTML of an answer, of thoughts and of an error is read, not run."""
    show(
        Answer(HOSTILE, reasoning=HOSTILE),
        Fault(500, HOSTILE, HOSTILE),
    )
    ask(page, HOSTILE, "deepseek-v4-flash")
    expect(page.locator("#answer")).to_have_text(HOSTILE)
    expect(page.locator("#thoughts")).to_have_text(HOSTILE)
    ask(page, HOSTILE, "deepseek-v4-flash")
    expect(page.locator("#note")).to_have_text(f"{HOSTILE}: {HOSTILE}")

    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1
    assert page.title() == "dashscope-oss gateway"


def test_even_a_script_that_got_in_would_not_run(show, page):
    """The policy of the page allows its own script only."""
    show()
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "document.title = 'run'";
            document.body.append(script);
        }"""
    )

    assert page.title() == "dashscope-oss gateway"


def test_upstreams_are_shown_with_what_is_wrong(page):
    """Names and errors of upstreams are text as well."""
    down = FakeUpstream(failed(500, {}), health_status=500)
    tables = f'[upstreams.gpu1]\nurl = "{down.url}"\n[models."{MODEL}"]\nname = "{"<b>x</b>"}"\n'
    with serve_in_thread(Gateway(build_load_balancer(parse_config(tables, "test")))) as url:
        page.goto(url.removesuffix("/api/v1"))
        expect(page.get_by_role("status")).to_have_text("not ready: no upstream is healthy")
        expect(page.locator("#upstreams tbody td").nth(0)).to_have_text("gpu1")
        expect(page.locator("#upstreams tbody td").nth(2)).to_contain_text("down: ")
        expect(page.locator("#models tbody td").nth(1)).to_have_text("<b>x</b>")
    down.close()


def test_it_asks_for_a_key_and_keeps_it_in_memory_only(page):
    """The page says that a wrong one is wrong; the right one opens it, until a reload."""
    gateway = Gateway(ScriptedEngine([Answer("for you")]), api_keys=("sk-right",))
    with serve_in_thread(gateway) as url:
        page.goto(url.removesuffix("/api/v1"))
        for key in ("sk-wrong", "sk-right"):
            expect(page.get_by_label("API key")).to_be_visible()
            expect(page.get_by_label("Question")).to_be_hidden()
            page.get_by_label("API key").fill(key)
            page.get_by_role("button", name="Show the gateway").click()
            if key == "sk-wrong":
                expect(page.get_by_role("status")).to_contain_text("not one of this gateway's")
        ask(page, "hi")
        expect(page.locator("#answer")).to_have_text("for you")
        assert page.get_by_label("API key").input_value() == ""
        kept = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
        assert page.evaluate(kept) == '[{},{},""]'
        page.reload()
        expect(page.get_by_label("API key")).to_be_visible()


class Endless(ScriptedEngine):
    """Gives one piece, and nothing more; notes when it is stopped."""

    def __init__(self):
        super().__init__()
        self.stopped = threading.Event()

    async def generate(self, request):
        try:
            yield Delta(text="so far")
            await asyncio.Event().wait()
        finally:
            self.stopped.set()


def test_stop_stops_the_engine(page):
    """What the model wrote stays, and another question can be asked."""
    engine = Endless()
    with serve_in_thread(Gateway(engine)) as url:
        page.goto(url.removesuffix("/api/v1"))
        ask(page, "hi")
        expect(page.locator("#answer")).to_have_text("so far")
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("#note")).to_have_text("stopped")
        expect(page.get_by_role("button", name="Ask")).to_be_enabled()
        assert engine.stopped.wait(10)
        page.close()
