"""DashScope's open-weight language models: records, protocol, client, gateway.

This package knows DashScope and no framework. The model classes are in
``langchain_dashscope_oss`` and ``llama_index_dashscope_oss``.
"""

from dashscope_oss._version import __version__
from dashscope_oss.client import AsyncClient, Client
from dashscope_oss.endpoint import Endpoint
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
from dashscope_oss.messages import Delta, Message, Options, Reply, ToolCall, Usage
from dashscope_oss.models import ModelInfo, all_models, find_model, register_model
from dashscope_oss.request import chat, complete

__all__ = [
    "APIConnectionError",
    "APITimeoutError",
    "AsyncClient",
    "AuthenticationError",
    "Client",
    "ConfigurationError",
    "ContentBlockedError",
    "ContextLengthError",
    "DashScopeError",
    "DashScopeWarning",
    "Delta",
    "Endpoint",
    "InvalidRequestError",
    "Message",
    "ModelInfo",
    "ModelNotFoundError",
    "Options",
    "PermissionDeniedError",
    "ProtocolError",
    "QuotaExhaustedError",
    "RateLimitError",
    "Reply",
    "RetiredModelWarning",
    "ServerError",
    "ToolCall",
    "UnknownModelWarning",
    "UnreadableAnswerError",
    "UnsupportedInputError",
    "Usage",
    "__version__",
    "all_models",
    "chat",
    "complete",
    "find_model",
    "register_model",
]
