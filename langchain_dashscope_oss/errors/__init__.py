"""This package's errors as LangChain knows them.

Every class of ``dashscope_oss.errors`` has a subclass of the same name here, which is a subclass
of LangChain's ``Model…Error`` too. ``except RateLimitError`` and ``except ModelRateLimitError``
both work, and LangChain's own retries and fallbacks read ``is_retryable``. The model classes raise
only these; :mod:`.conversion` makes them of the core's.
"""

from langchain_dashscope_oss.errors.classes import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    ContentBlockedError,
    ContextLengthError,
    DashScopeError,
    InvalidRequestError,
    ModelNotFoundError,
    PermissionDeniedError,
    ProtocolError,
    QuotaExhaustedError,
    RateLimitError,
    ServerError,
    UnreadableAnswerError,
    UnsupportedInputError,
)

__all__ = [
    "APIConnectionError",
    "APITimeoutError",
    "AuthenticationError",
    "ConfigurationError",
    "ContentBlockedError",
    "ContextLengthError",
    "DashScopeError",
    "InvalidRequestError",
    "ModelNotFoundError",
    "PermissionDeniedError",
    "ProtocolError",
    "QuotaExhaustedError",
    "RateLimitError",
    "ServerError",
    "UnreadableAnswerError",
    "UnsupportedInputError",
]
