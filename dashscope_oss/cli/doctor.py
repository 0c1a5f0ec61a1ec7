"""``dashscope-oss doctor``: why calls fail, or that they do not."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

from dashscope_oss.cli.reports import checks, model_list
from dashscope_oss.cli.reports.checks import Check
from dashscope_oss.cli.reports.table import table
from dashscope_oss.errors import AuthenticationError, ConfigurationError, DashScopeError
from dashscope_oss.messages import Message, Options
from dashscope_oss.protocol.request import chat_request
from dashscope_oss.registry.lookup import all_models, find_model
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.registry.public_lists import service_list
from dashscope_oss.transport.client import Client
from dashscope_oss.transport.endpoint import REGIONS, SHARED_HOSTS, Endpoint, key_place
from dashscope_oss.transport.http.connections import open_brief_client, proxy_for
from dashscope_oss.transport.options import ClientOptions

SECONDS = 10.0
"""How long each question may take."""
_MARKS = {"ok": "ok", "warning": "!", "wrong": "WRONG", "unknown": "?"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.description = (
        "Looks at key, address, proxy, workspace and clock, asks the service for its models, and "
        "says what is wrong and what to change. The key is never shown."
    )
    parser.add_argument(
        "model", nargs="*", help="also ask these models for one token each, which may cost a little"
    )
    parser.add_argument("--base-url", help="ends in /api/v1; default: DASHSCOPE_HTTP_BASE_URL")
    parser.add_argument("--region", choices=REGIONS)
    parser.add_argument("--workspace", help="default: DASHSCOPE_WORKSPACE")


def run(arguments: argparse.Namespace) -> int:
    """Print what was found; the status is 1 if something is wrong."""
    all_checks = list(_examine(arguments))
    rows = [(_MARKS[check.state], check.subject, check.words) for check in all_checks]
    print(table(("", "what", "found"), rows))
    for check in all_checks:
        if check.remedy:
            print(f"\n{check.subject}: {check.remedy}")
    return int(any(check.state == "wrong" for check in all_checks))


def _examine(arguments: argparse.Namespace) -> Iterator[Check]:
    try:
        endpoint = _address(arguments)
    except ConfigurationError as error:
        yield Check("settings", "wrong", str(error))
        return
    yield checks.address_check(endpoint)
    yield checks.workspace_check(endpoint)
    local = (_proxy_check(endpoint), _key_check(endpoint))
    yield from local
    if any(check.state == "wrong" for check in local):
        return
    of_service = list(_service_checks(endpoint))
    yield from of_service
    if any(check.state == "wrong" for check in of_service):
        return  # no model would answer, for the same reason
    for id in arguments.model:
        yield _model_check(endpoint, find_model(id))


def _address(arguments: argparse.Namespace) -> Endpoint:
    """Return where to call; the key is checked later, so that its fault is shown by itself."""
    endpoint = Endpoint.resolve(
        base_url=arguments.base_url,
        region=arguments.region,
        workspace=arguments.workspace,
        api_key=lambda: "",
    )
    return replace(endpoint, api_key=None)


def _proxy_check(endpoint: Endpoint) -> Check:
    try:
        with open_brief_client(endpoint.base_url, SECONDS):
            return checks.proxy_check(proxy_for(endpoint.base_url))
    except ConfigurationError as error:
        return Check("proxy", "wrong", str(error))


def _key_check(endpoint: Endpoint) -> Check:
    try:
        key = endpoint.key()
    except ConfigurationError as error:
        return Check("key", "wrong", str(error))
    place = f"from {key_place()}" if key else "none, and a server on this machine needs none"
    return Check("key", "ok", place)


def _service_checks(endpoint: Endpoint) -> Iterator[Check]:
    try:
        with open_brief_client(endpoint.base_url, SECONDS) as http:
            response = model_list.get_page(http, endpoint)
            yield checks.clock_check(response.headers.get("date"), time.time())
            public = service_list(model_list.pages_from(http, endpoint, response))
    except DashScopeError as error:
        is_refused = isinstance(error, AuthenticationError)
        accepting = _accepting(endpoint, elsewhere(endpoint)) if is_refused else []
        yield checks.failure_check(error, endpoint, accepting)
        return
    yield Check("service", "ok", "answers")
    yield checks.models_check(all_models(), public.models)


def elsewhere(endpoint: Endpoint) -> Mapping[str, str]:
    """Return the other regions' shared hosts: a key goes to the vendor's hosts only."""
    if not endpoint.is_vendor:
        return {}
    return {name: url for name, url in SHARED_HOSTS.items() if url != endpoint.base_url}


def _accepting(endpoint: Endpoint, regions: Mapping[str, str]) -> list[str]:
    """Return the regions that do not refuse the key."""
    places = {
        name: replace(endpoint, base_url=url, workspace=None) for name, url in regions.items()
    }
    return [name for name, place in places.items() if _is_accepted(place)]


def _is_accepted(endpoint: Endpoint) -> bool:
    try:
        with open_brief_client(endpoint.base_url, SECONDS) as http:
            model_list.read_page(model_list.get_page(http, endpoint))
    except DashScopeError:
        return False
    return True


def _model_check(endpoint: Endpoint, model_info: ModelInfo) -> Check:
    try:
        request = chat_request(model_info, [Message("user", "hi")], Options(max_tokens=1))
        with Client(endpoint, ClientOptions(timeout=SECONDS, max_retries=0)) as client:
            client.send(request)
    except DashScopeError as error:
        return checks.model_check(model_info, error)
    return checks.model_check(model_info, None)
