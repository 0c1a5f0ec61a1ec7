"""Errors that are both this package's and LangChain's.

Every class of ``dashscope_oss.errors`` has a twin here of the same name, which is a subclass of
it and of LangChain's ``Model…Error``. ``except RateLimitError`` and ``except
ModelRateLimitError`` both work, and LangChain's own retries and fallbacks read ``is_retryable``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core import exceptions as lc

from dashscope_oss import errors

_TABLE: dict[type[errors.DashScopeError], tuple[type[lc.ModelError], ...]] = {
    errors.DashScopeError: (lc.ModelError,),
    errors.AuthenticationError: (lc.ModelAuthenticationError,),
    errors.PermissionDeniedError: (lc.ModelPermissionDeniedError,),
    errors.QuotaExhaustedError: (lc.ModelPermissionDeniedError,),
    errors.ModelNotFoundError: (lc.ModelNotFoundError,),
    errors.InvalidRequestError: (lc.ModelInvalidRequestError,),
    errors.ContextLengthError: (lc.ContextOverflowError, lc.ModelInvalidRequestError),
    errors.ContentBlockedError: (lc.ModelInvalidRequestError,),
    errors.RateLimitError: (lc.ModelRateLimitError,),
    errors.ServerError: (lc.ModelAPIError,),
    errors.APIConnectionError: (lc.ModelConnectionError,),
    errors.APITimeoutError: (lc.ModelTimeoutError, lc.ModelConnectionError),
    errors.ProtocolError: (lc.ModelAPIError,),
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
        raise _as_twin(error).with_traceback(error.__traceback__) from error.__cause__


def _as_twin(error: errors.DashScopeError) -> errors.DashScopeError:
    kind = next(TWINS[base] for base in type(error).__mro__ if base in TWINS)
    twin = kind.__new__(kind, *error.args)
    twin.__dict__.update(error.__dict__)
    return twin
