"""The HTTP underneath: httpx2's transports, their connections, and limits for a whole call.

- :mod:`.connections`: opens the transports, with authorities and proxy of the environment.
- :mod:`.deadline_transport`, :mod:`.async_deadline_transport`: the transports of blocking and of
  asyncio calls.
- :mod:`.connection_queue`: where asyncio calls wait for a connection.
- :mod:`.httpcore_form`: requests, packets, errors and settings as httpcore2 has them, for both.
- :mod:`.aiohttp_client`: a client for asyncio on aiohttp. Needs the extra ``aiohttp``.
- :mod:`.deadlines`, :mod:`.timeouts`: how long a call may take, and how long its steps.
- :mod:`.response_body`: reads an answer, up to a limit.
- :mod:`.redaction`: takes secrets out of errors.

It knows httpx2 and neither DashScope's protocol nor models. The transport imports it; so do the
gateway for its own upstream connections, the command for its questions to other servers, and the
adapters for the form and the default of two settings.
"""
