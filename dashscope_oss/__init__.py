"""DashScope's open-weight language models: records, protocol, client, gateway.

This package knows DashScope and no framework. The model classes are in
``langchain_dashscope_oss`` and ``llama_index_dashscope_oss``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from dashscope_oss._version import __version__
from dashscope_oss.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    ContentBlockedError,
    ContextLengthError,
    DashScopeError,
    DashScopeWarning,
    InvalidRequestError,
    ModelNotFoundError,
    PermissionDeniedError,
    ProtocolError,
    QuotaExhaustedError,
    RateLimitError,
    RetiredModelWarning,
    ServerError,
    UnknownModelWarning,
    UnreadableAnswerError,
    UnsupportedInputError,
)
from dashscope_oss.messages import (
    AudioPart,
    Delta,
    ImagePart,
    Message,
    Options,
    Reply,
    SearchResult,
    TextPart,
    ToolCall,
    Usage,
    VideoPart,
)
from dashscope_oss.protocol.request import chat_request, completion_request
from dashscope_oss.registry.lookup import ModelInfo, all_models, find_model, register_model
from dashscope_oss.transport.async_client import AsyncClient
from dashscope_oss.transport.client import Client
from dashscope_oss.transport.endpoint import Endpoint
from dashscope_oss.transport.options import ClientOptions

if TYPE_CHECKING:
    from dashscope_oss.tokens.rate_limits import RateLimits
    from dashscope_oss.tokens.usage_table import UsageTable
    from dashscope_oss.transport.http.aiohttp_client import DefaultAioHttpClient

__all__ = [
    "APIConnectionError",
    "APITimeoutError",
    "AsyncClient",
    "AudioPart",
    "AuthenticationError",
    "Client",
    "ClientOptions",
    "ConfigurationError",
    "ContentBlockedError",
    "ContextLengthError",
    "DashScopeError",
    "DashScopeWarning",
    "DefaultAioHttpClient",
    "Delta",
    "Endpoint",
    "ImagePart",
    "InvalidRequestError",
    "Message",
    "ModelInfo",
    "ModelNotFoundError",
    "Options",
    "PermissionDeniedError",
    "ProtocolError",
    "QuotaExhaustedError",
    "RateLimitError",
    "RateLimits",
    "Reply",
    "RetiredModelWarning",
    "SearchResult",
    "ServerError",
    "TextPart",
    "ToolCall",
    "UnknownModelWarning",
    "UnreadableAnswerError",
    "UnsupportedInputError",
    "Usage",
    "UsageTable",
    "VideoPart",
    "__version__",
    "all_models",
    "chat_request",
    "completion_request",
    "find_model",
    "register_model",
]


# What few programs need takes long to import; aiohttp is an extra too.
_IMPORTED_WHEN_USED = {
    "DefaultAioHttpClient": "dashscope_oss.transport.http.aiohttp_client",
    "RateLimits": "dashscope_oss.tokens.rate_limits",
    "UsageTable": "dashscope_oss.tokens.usage_table",
}


def __getattr__(name: str) -> object:
    if module := _IMPORTED_WHEN_USED.get(name):
        return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
