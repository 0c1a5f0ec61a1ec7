"""The core's errors as LangChain's, with all that they know."""

from __future__ import annotations

from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage

from dashscope_oss import errors as core
from langchain_dashscope_oss.errors import classes

_LANGCHAIN_CLASSES: dict[type[core.DashScopeError], type[classes.DashScopeError]] = {
    core.DashScopeError: classes.DashScopeError,
    core.AuthenticationError: classes.AuthenticationError,
    core.PermissionDeniedError: classes.PermissionDeniedError,
    core.QuotaExhaustedError: classes.QuotaExhaustedError,
    core.ModelNotFoundError: classes.ModelNotFoundError,
    core.InvalidRequestError: classes.InvalidRequestError,
    core.ContextLengthError: classes.ContextLengthError,
    core.ContentBlockedError: classes.ContentBlockedError,
    core.RateLimitError: classes.RateLimitError,
    core.ServerError: classes.ServerError,
    core.APIConnectionError: classes.APIConnectionError,
    core.APITimeoutError: classes.APITimeoutError,
    core.ProtocolError: classes.ProtocolError,
    core.UnreadableAnswerError: classes.UnreadableAnswerError,
    core.UnsupportedInputError: classes.UnsupportedInputError,
    core.ConfigurationError: classes.ConfigurationError,
}


_TRIM = "In LangChain, trim_messages(..., token_counter=llm) shortens a conversation."
_SEND_UNCHECKED = " check_length=False sends it all the same."


class raising_langchain_errors:  # noqa: N801 - it reads like contextlib's
    """Raise the core's errors as LangChain's; for sync, async and generator bodies alike."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if isinstance(error, core.DashScopeError) and not isinstance(error, ModelError):
            raise as_langchain_error(error).with_traceback(error.__traceback__) from error.__cause__


def as_langchain_error(error: core.DashScopeError) -> classes.DashScopeError:
    """Return ``error`` as LangChain's kind, with all that it knows; one of that kind as it is."""
    if isinstance(error, classes.DashScopeError):
        return error
    bases = (base for base in type(error).__mro__ if base in _LANGCHAIN_CLASSES)
    kind = _LANGCHAIN_CLASSES[next(bases)]
    converted = kind.__new__(kind, *error.args)
    converted.__dict__.update(error.__dict__)
    if isinstance(error, core.ContextLengthError) and not error.hint:
        converted.hint = _TRIM if error.status_code else _TRIM + _SEND_UNCHECKED
    if not error.retryable:
        converted.is_retryable = False
    if isinstance(converted, classes.ContentBlockedError):
        converted.raw_message = _refusal(converted)
    return converted


def _refusal(error: core.DashScopeError) -> AIMessage:
    """Return what LangChain keeps with a refusal: a message with a block that says why."""
    details = {"code": error.code, "partial_text": error.partial_text}
    extras = {name: value for name, value in details.items() if value}
    return AIMessage(
        content=[{"type": "refusal", "refusal": error.message, "extras": extras}],
        response_metadata={"model_name": error.model, "request_id": error.request_id},
    )
