"""A caller that leaves: its work is stopped, and nothing else is taken for its leaving."""

import asyncio

from dashscope_oss.gateway.http.disconnect import run_until_disconnect
from dashscope_oss.gateway.http.request import HttpRequest
from dashscope_oss.gateway.http.response import HttpResponse


class Caller:
    """The caller's end of an ASGI exchange: what it sends, one at a time, and what it gets."""

    def __init__(self, *events):
        self.events = [{"type": event} for event in events]
        self.sent = []
        self.asked = asyncio.Event()

    async def receive(self):
        if not self.events:
            self.asked.set()
            await asyncio.Event().wait()
        return self.events.pop(0)

    async def send(self, event):
        self.sent.append(event)

    def exchange(self):
        request = HttpRequest({"method": "POST", "path": "/"}, self.receive)
        return request, HttpResponse(request, self.send)


async def test_what_a_caller_sends_late_does_not_stop_its_answer():
    """Only its leaving does."""
    caller = Caller("http.request")
    request, response = caller.exchange()

    async def work():
        await caller.asked.wait()
        await response.send_json(200, {})

    await run_until_disconnect(work(), request, response)

    assert (response.status, request.disconnected) == (200, False)


async def test_the_end_of_an_answer_is_not_the_callers_leaving():
    """Servers report both in the same way; what is still to be done is done."""
    caller = Caller("http.disconnect")
    request, response = caller.exchange()
    done = []

    async def work():
        await response.send_json(200, {})
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        done.append(True)

    await run_until_disconnect(work(), request, response)

    assert (done, request.disconnected) == ([True], False)
