"""Engines behind the OpenAI-compatible protocol: vLLM, SGLang, llama.cpp, Ollama, and our own.

One translation serves all. A conversation goes to ``/chat/completions``. A prompt of a
prompt-only model goes to ``/completions`` as it was sent, for real weights know their own marks.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from dashscope_oss.errors import ProtocolError
from dashscope_oss.gateway.api_error import NOT_JSON, UNAVAILABLE, APIError
from dashscope_oss.gateway.engines.engine_request import EngineRequest
from dashscope_oss.gateway.engines.openai.upstream import HealthCheck, Upstream, UpstreamState
from dashscope_oss.gateway.engines.openai.upstream_request import call_for, turns_of
from dashscope_oss.gateway.engines.openai.upstream_response import (
    UNREADABLE,
    AnswerReader,
    ids_in,
    one_line,
    refusal_for,
    words_of,
)
from dashscope_oss.gateway.engines.served_models import unregistered_model
from dashscope_oss.messages import Delta, Message
from dashscope_oss.protocol.streaming.sse import Decoder
from dashscope_oss.registry import lookup
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.transport.connections import trusted_tls
from dashscope_oss.transport.endpoint import checked_url

_BROKEN = (500, "InternalError", "The engine broke off its answer.")
_STALLED = (500, "RequestTimeOut", "Request timed out, try again later.")
_BASE_HINT = " (is {} its base, which ends in /v1?)"
# An invalid address is where a server sends us on to; nobody follows it.
_FAILURES = (httpx2.HTTPError, httpx2.InvalidURL)
_CONNECT = 10.0
_MOST_BYTES = 10_000_000
_log = logging.getLogger("dashscope_oss.gateway")


class OpenAIEngine:
    """Passes jobs on to an OpenAI-compatible server.

    Attributes:
        context: tokens that the weights take, if this engine knows.
    """

    context: int | None = None

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._http: httpx2.AsyncClient | None = None
        self._watch: asyncio.Task[None] | None = None
        self._traffic = _Traffic()
        self._compared = False

    async def start(self) -> None:
        """Open the connections' pool, and look after the server; it may come up later."""
        self._http = _connections(self._upstream)
        if (health := self._upstream.health) is not None:
            await self._look(health)
            self._watch = asyncio.create_task(self._keep_looking(health))

    async def aclose(self) -> None:
        """Close the connections."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        if self._http is not None:
            await self._http.aclose()

    def find_model(self, model: str) -> ModelInfo | None:
        """Return the record of ``model`` if it is served; a conservative one for a new id."""
        if self._upstream.default is None and model not in self._upstream.names:
            return None
        return lookup.known_model(model) or unregistered_model(model)

    def models(self) -> list[ModelInfo]:
        """Return what is served by name; with a default, any other id is served too."""
        named = [lookup.known_model(id) or unregistered_model(id) for id in self._upstream.names]
        if self._upstream.default is None:
            return named
        return [*lookup.all_models(), *(r for r in named if lookup.known_model(r.id) is None)]

    def weights_name(self, model_info: ModelInfo) -> str:
        """Return the server's name for the weights."""
        return self._upstream.names.get(model_info.id) or self._upstream.default or model_info.id

    def upstreams(self) -> list[UpstreamState]:
        """Return what is known of the server."""
        seen, upstream = self._traffic, self._upstream
        return [
            UpstreamState(
                name=upstream.name,
                url=upstream.url,
                kind=upstream.kind,
                healthy=seen.healthy,
                last_error=seen.error,
                under_way=seen.under_way,
                calls=seen.calls,
                failures=seen.failures,
            )
        ]

    @property
    def under_way(self) -> int:
        """Calls that the server answers now."""
        return self._traffic.under_way

    @property
    def is_down(self) -> bool:
        """Whether the server was last found unwell."""
        return self._traffic.healthy is False

    async def generate(self, job: EngineRequest) -> AsyncGenerator[Delta, None]:
        """Yield the server's answer in pieces."""
        path, body = call_for(
            job, self._upstream, weights=self.weights_name(job.model_info), turns=self._turns(job)
        )
        content = _json(self._completed(body))
        reader = AnswerReader(self.context)
        with self._traffic.counted(self._upstream):
            async with self._opened(path, content) as response:
                async for data in _objects(response, self._upstream.timeout):
                    if delta := reader.push(data):
                        yield delta
            last = reader.end()
        yield last

    def _turns(self, job: EngineRequest) -> Sequence[Message]:
        return turns_of(job)

    def _completed(self, body: dict[str, object]) -> dict[str, object]:
        return body

    @asynccontextmanager
    async def _opened(self, path: str, content: bytes) -> AsyncGenerator[httpx2.Response, None]:
        """The server's answer; what goes wrong with it in the vendor's words."""
        try:
            response = await self._sent("POST", path, content)
        except _FAILURES as error:
            raise _told(error, UNAVAILABLE) from error
        try:
            if not response.is_success:
                raise refusal_for(response.status_code, await _body(response), self.context)
            yield response
        except _FAILURES as error:
            raise _told(error, _BROKEN) from error
        except ProtocolError as error:
            raise APIError(*UNREADABLE) from error
        finally:
            await response.aclose()

    async def _sent(
        self, method: str, url: str | httpx2.URL, content: bytes | None = None
    ) -> httpx2.Response:
        http = self._pool()
        headers = {} if content is None else {"Content-Type": "application/json"}
        request = http.build_request(method, url, content=content, headers=headers)
        return await http.send(request, stream=True)

    def _pool(self) -> httpx2.AsyncClient:
        if self._http is None:
            raise RuntimeError("start() was not called")
        return self._http

    async def _keep_looking(self, health: HealthCheck) -> None:
        while True:
            await asyncio.sleep(health.interval)
            await self._look(health)

    async def _look(self, health: HealthCheck) -> None:
        """Ask the server whether it is well, and say when that has changed."""
        try:
            # For all of the answer: the client's own limits are between two pieces.
            async with asyncio.timeout(health.timeout):
                found = await self._wrong(health.path)
        except TimeoutError:
            found = f"no answer in {health.timeout:g} s"
        except Exception as error:  # noqa: BLE001 - whatever it was, the next look must be taken
            found = _words(error)
        if self._traffic.looked(found):
            upstream, state = self._upstream, f"down: {found}" if found else "up"
            _log.warning("%s at %s is %s", upstream.name, upstream.url, state)

    async def _wrong(self, path: str) -> str:
        """What the server says is wrong with it; "" if nothing."""
        url = httpx2.URL(self._upstream.url.rstrip("/") + "/").join(path)
        response = await self._sent("GET", url)
        try:
            said = await _body(response)
        finally:
            await response.aclose()
        self._compare(said)
        if response.is_success:
            return ""
        lost = response.status_code == HTTPStatus.NOT_FOUND
        hint = _BASE_HINT.format(self._upstream.url) if lost else ""
        return f"HTTP {response.status_code}: {words_of(said)}{hint}"

    def _compare(self, listed: bytes) -> None:
        """Say once if the server lists its models, and not the one that is to be served."""
        names = ids_in(listed)
        given = (*self._upstream.names.values(), self._upstream.default)
        wanted = {name for name in given if name is not None}
        # llama.cpp answers by any name.
        if self._compared or not names or self._upstream.kind == "llama.cpp":
            return
        self._compared = True
        for name in sorted(wanted - names):
            has = one_line(", ".join(sorted(names)[:5]))
            _log.warning("%s lists no model %r; it has %s", self._upstream.name, name, has)


class _Traffic:
    """What went to a server, and how it was last found."""

    def __init__(self) -> None:
        self.healthy: bool | None = None
        self.under_way = 0
        self.calls = 0
        self.failures = 0
        self._seen = ""
        self._told = ""

    @property
    def error(self) -> str:
        """What the last look or call found wrong."""
        return self._seen or self._told

    def looked(self, error: str) -> bool:
        """Take what a look found; return whether that is news."""
        before, self.healthy, self._seen = self.healthy, not error, error
        return self.healthy is not (True if before is None else before)

    @contextmanager
    def counted(self, upstream: Upstream) -> Iterator[None]:
        """Count one call, and say what failed.

        A server that could not be had is down until it is looked at again.
        """
        self.under_way += 1
        self.calls += 1
        try:
            yield
            self._told = ""
        except APIError as refusal:
            said = one_line(refusal.cause) or one_line(refusal.message) + _hint(upstream.url)
            level = logging.INFO  # the caller's own fault, who is told
            if is_servers_fault(refusal):
                self.failures += 1
                self._told, level = said, logging.ERROR
            _log.log(level, "a call failed at %s, %s: %s", upstream.name, upstream.url, said)
            if upstream.health is not None and refusal.status == UNAVAILABLE[0]:
                self.healthy = False
            raise
        finally:
            self.under_way -= 1


def _connections(upstream: Upstream) -> httpx2.AsyncClient:
    url = httpx2.URL(checked_url(upstream.url, "--upstream", like="http://HOST:8000/v1"))
    tls = trusted_tls() if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    transport = httpx2.AsyncHTTPTransport(verify=tls, limits=limits)
    return httpx2.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {upstream.api_key}"} if upstream.api_key else {},
        timeout=httpx2.Timeout(upstream.timeout, connect=_CONNECT),
        transport=transport,
        trust_env=False,
        # One caller's calls must not follow another's, nor cookies pile up.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
    )


def _told(error: Exception, otherwise: tuple[int, str, str]) -> APIError:
    stalled = isinstance(error, httpx2.ReadTimeout | httpx2.WriteTimeout)
    return APIError(*(_STALLED if stalled else otherwise), cause=_words(error))


def _words(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}").removesuffix(":")


def _hint(url: str) -> str:
    """A server whose answers cannot be read may be another than was meant."""
    return "" if url.rstrip("/").endswith("/v1") else _BASE_HINT.format(url)


def _json(body: Mapping[str, object]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:  # in a schema, say, a number beyond all measure
        raise APIError(400, "InvalidParameter", NOT_JSON) from None


def is_servers_fault(refusal: APIError) -> bool:
    """Whether another server might have answered what this one did not."""
    return refusal.status != 400


async def _body(response: httpx2.Response) -> bytes:
    """The body, or its beginning: a server that never ends must not fill the memory."""
    found = bytearray()
    async for chunk in response.aiter_bytes():
        found += chunk
        if len(found) >= _MOST_BYTES:
            break
    return bytes(found)


async def _objects(response: httpx2.Response, seconds: float) -> AsyncIterator[bytes]:
    """The JSON texts of an answer: of its events, or the one of a server that did not stream.

    Comments that only keep a connection open are no pieces: so many seconds of them are too many.
    """
    kind = response.headers.get("content-type", "text/event-stream")
    if not kind.lower().startswith("text/event-stream"):
        yield await _body(response)
        return
    decoder, last = Decoder(_MOST_BYTES), time.monotonic()
    async for chunk in response.aiter_bytes():
        if time.monotonic() - last > seconds:
            raise httpx2.ReadTimeout(f"no piece in {seconds:g} s")
        for event in decoder.feed(chunk):
            if event.data == b"[DONE]":
                return
            if event.data:
                yield event.data
            last = time.monotonic()
    for event in decoder.flush():
        if event.data not in (b"", b"[DONE]"):
            yield event.data
