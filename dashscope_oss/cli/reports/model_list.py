"""Asks the service which models it has: ``GET /api/v1/models``, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import httpx2

from dashscope_oss.errors import DashScopeError, ProtocolError
from dashscope_oss.protocol.json_body import read_json_object
from dashscope_oss.protocol.request import headers
from dashscope_oss.registry.public_lists import service_models, stated_total
from dashscope_oss.transport.attempt import USER_AGENT
from dashscope_oss.transport.endpoint import Endpoint
from dashscope_oss.transport.http.connections import open_brief_client
from dashscope_oss.transport.http.redaction import redact, secrets_in
from dashscope_oss.transport.http_errors import error_of_exception, error_of_response

PAGE_SIZE = 100
MAX_PAGES = 100
SECONDS = 30.0


def pages(endpoint: Endpoint) -> Iterator[Mapping[str, object]]:
    """Yield the answers, one a page, until all models have come.

    Raises:
        DashScopeError: if a page cannot be had.
    """
    with open_brief_client(endpoint.base_url, SECONDS) as http:
        yield from pages_from(http, endpoint, get_page(http, endpoint))


def pages_from(
    http: httpx2.Client, endpoint: Endpoint, first: httpx2.Response
) -> Iterator[Mapping[str, object]]:
    """Yield all pages, of which the first has been asked for; see :func:`pages`."""
    page = read_page(first)
    count, total = _count(page), stated_total(page)
    num_listed = count
    yield page
    for number in range(2, MAX_PAGES + 1):
        if not count or (total is not None and num_listed >= total):
            return
        page = read_page(get_page(http, endpoint, number))
        count = _count(page)
        num_listed += count
        yield page


def get_page(http: httpx2.Client, endpoint: Endpoint, number: int = 1) -> httpx2.Response:
    """Return one answer of the service, whatever its status.

    Raises:
        APIConnectionError: if there is no answer.
    """
    query = {"page_no": str(number), "page_size": str(PAGE_SIZE), "supports": "inference"}
    sent = headers(
        stream=False,
        key=endpoint.key(),
        workspace=endpoint.workspace,
        extra={},
        agent=USER_AGENT,
    )
    try:
        return http.get(endpoint.url("models"), params=query, headers=sent)
    except httpx2.HTTPError as failure:
        failure.request = httpx2.Request("GET", endpoint.url("models"))  # without the key
        raise error_of_exception(failure, "", SECONDS, "") from failure


def read_page(response: httpx2.Response) -> Mapping[str, object]:
    """Return the JSON of a page.

    Raises:
        DashScopeError: if the service refuses, or its answer cannot be read; the error does not
            show the key.
    """
    try:
        return _page_in(response)
    except DashScopeError as error:
        redact(error, secrets_in(response.request.headers))
        raise


def _page_in(response: httpx2.Response) -> Mapping[str, object]:
    if not response.is_success:
        raise error_of_response(response, response.content, "")
    page = read_json_object(response.content)
    if service_models(page) is None:
        raise ProtocolError(
            "the answer holds no list of models", hint="Check that base_url ends in /api/v1."
        )
    return page


def _count(page: Mapping[str, object]) -> int:
    return len(service_models(page) or ())
