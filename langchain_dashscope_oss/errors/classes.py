"""The classes: each is the core's of the same name and LangChain's at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core import exceptions as lc
from langchain_core.messages import BaseMessage

from dashscope_oss import errors as core

if TYPE_CHECKING:
    _RefusalError = lc.ModelRefusalError
else:
    # LangChain has a class for refusals since 1.7.5.
    _RefusalError = getattr(lc, "ModelRefusalError", lc.ModelInvalidRequestError)


class DashScopeError(core.DashScopeError, lc.ModelError):
    """The root: catch this to catch everything that the model classes raise."""


class AuthenticationError(core.AuthenticationError, DashScopeError, lc.ModelAuthenticationError):
    """The service does not accept the API key."""


class PermissionDeniedError(
    core.PermissionDeniedError, DashScopeError, lc.ModelPermissionDeniedError
):
    """The key is known but may not use this model or workspace."""


class QuotaExhaustedError(core.QuotaExhaustedError, PermissionDeniedError):
    """The free quota is used up or the account is in debt; waiting does not help."""


class ModelNotFoundError(core.ModelNotFoundError, DashScopeError, lc.ModelNotFoundError):
    """The service has no model of this id."""


class InvalidRequestError(core.InvalidRequestError, DashScopeError, lc.ModelInvalidRequestError):
    """The service refuses the request; sending it again cannot help."""


class ContextLengthError(core.ContextLengthError, InvalidRequestError, lc.ContextOverflowError):
    """The input is longer than the model takes."""


class ContentBlockedError(core.ContentBlockedError, InvalidRequestError, _RefusalError):
    """The service's content inspection stopped the input or the answer.

    Where LangChain has ``ModelRefusalError`` (1.7.5), it is one.

    Attributes:
        raw_message: a message whose one block, of type ``refusal``, says why.
    """

    raw_message: BaseMessage | None = None


class RateLimitError(core.RateLimitError, DashScopeError, lc.ModelRateLimitError):
    """Too many requests or tokens for the moment."""


class ServerError(core.ServerError, DashScopeError, lc.ModelAPIError):
    """A fault on the side of the service."""


class APIConnectionError(core.APIConnectionError, DashScopeError, lc.ModelConnectionError):
    """No connection to the service, or it was lost before the answer began."""


class APITimeoutError(core.APITimeoutError, APIConnectionError, lc.ModelTimeoutError):
    """A time limit passed; the message names which."""


class ProtocolError(core.ProtocolError, DashScopeError, lc.ModelAPIError):
    """An answer that cannot be read, or a stream that ended too soon."""

    is_retryable = False


class UnreadableAnswerError(core.UnreadableAnswerError, ProtocolError):
    """The model's answer is not the object or the tool call that was asked for."""


class UnsupportedInputError(
    core.UnsupportedInputError, DashScopeError, lc.ModelInvalidRequestError
):
    """The model cannot carry this input; nothing was sent."""


class ConfigurationError(core.ConfigurationError, DashScopeError):
    """A setting is missing or impossible; nothing was sent."""
