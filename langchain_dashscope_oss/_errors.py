"""Errors that are both this package's and LangChain's.

Every class of ``dashscope_oss.errors`` has a twin here of the same name, which is a subclass of
it and of LangChain's ``Model…Error``. ``except RateLimitError`` and ``except
ModelRateLimitError`` both work, and LangChain's own retries and fallbacks read ``is_retryable``.
What the service's content inspection stopped has a ``raw_message``, whose one block of type
``refusal`` says why; where LangChain has ``ModelRefusalError`` (1.7.5), it is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core import exceptions as lc
from langchain_core.messages import AIMessage

from dashscope_oss import errors

# LangChain has a class for refusals since 1.7.5.
_REFUSED: tuple[type[lc.ModelError], ...] = tuple(
    kind for kind in (getattr(lc, "ModelRefusalError", None),) if kind is not None
)

_TABLE: dict[type[errors.DashScopeError], tuple[type[lc.ModelError], ...]] = {
    errors.DashScopeError: (lc.ModelError,),
    errors.AuthenticationError: (lc.ModelAuthenticationError,),
    errors.PermissionDeniedError: (lc.ModelPermissionDeniedError,),
    errors.QuotaExhaustedError: (lc.ModelPermissionDeniedError,),
    errors.ModelNotFoundError: (lc.ModelNotFoundError,),
    errors.InvalidRequestError: (lc.ModelInvalidRequestError,),
    errors.ContextLengthError: (lc.ContextOverflowError, lc.ModelInvalidRequestError),
    errors.ContentBlockedError: (lc.ModelInvalidRequestError, *_REFUSED),
    errors.RateLimitError: (lc.ModelRateLimitError,),
    errors.ServerError: (lc.ModelAPIError,),
    errors.APIConnectionError: (lc.ModelConnectionError,),
    errors.APITimeoutError: (lc.ModelTimeoutError, lc.ModelConnectionError),
    errors.ProtocolError: (lc.ModelAPIError,),
    errors.UnreadableAnswerError: (lc.ModelAPIError,),
    errors.UnsupportedInputError: (lc.ModelInvalidRequestError,),
    errors.ConfigurationError: (lc.ModelError,),
}


def _twin(
    ours: type[errors.DashScopeError], theirs: tuple[type[lc.ModelError], ...]
) -> type[errors.DashScopeError]:
    body = {
        "__doc__": ours.__doc__,
        "__module__": __name__,
        "is_retryable": ours.retryable,
    }
    return type(ours.__name__, (ours, *theirs), body)


TWINS: dict[type[errors.DashScopeError], type[errors.DashScopeError]] = {
    ours: _twin(ours, theirs) for ours, theirs in _TABLE.items()
}
# Pickle looks a class up by its name in its module.
globals().update({twin.__name__: twin for twin in TWINS.values()})


@contextmanager
def translated() -> Iterator[None]:
    """Raise this package's errors as their twins; for sync, async and generator bodies alike."""
    try:
        yield
    except errors.DashScopeError as error:
        if isinstance(error, lc.ModelError):
            raise
        raise as_twin(error).with_traceback(error.__traceback__) from error.__cause__


def as_twin(error: errors.DashScopeError) -> errors.DashScopeError:
    """Return the twin of ``error``, with all that it knows; a twin is its own."""
    if isinstance(error, lc.ModelError):
        return error
    kind = next(TWINS[base] for base in type(error).__mro__ if base in TWINS)
    twin = kind.__new__(kind, *error.args)
    twin.__dict__.update(error.__dict__)
    if not error.retryable:
        twin.__dict__["is_retryable"] = False  # LangChain's word for it
    if isinstance(twin, errors.ContentBlockedError):
        twin.__dict__["raw_message"] = _refusal(twin)
    return twin


def _refusal(error: errors.DashScopeError) -> AIMessage:
    """Return what LangChain keeps with a refusal: a message with a block that says why."""
    extras = {"code": error.code, "partial_text": error.partial_text}
    said = {name: value for name, value in extras.items() if value}
    return AIMessage(
        content=[{"type": "refusal", "refusal": error.message, "extras": said}],
        response_metadata={"model_name": error.model, "request_id": error.request_id},
    )
