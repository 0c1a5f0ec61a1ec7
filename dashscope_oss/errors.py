"""Every error and warning of this package.

::

    DashScopeError
      · AuthenticationError          401: the key is wrong, expired, or of another region
      · PermissionDeniedError        403: no right to the model or workspace
          · QuotaExhaustedError      the free quota or the balance is used up; waiting is no help
      · ModelNotFoundError           404: no such model, or no longer
      · InvalidRequestError          400: the service refuses the request as it is
          · ContextLengthError       the input is longer than the model takes
          · ContentBlockedError      the service's content inspection stopped it
      · RateLimitError               429: too many requests or tokens; waiting helps
      · ServerError                  5xx: a fault of the service
      · APIConnectionError           no connection, or it broke before an answer
          · APITimeoutError          a time limit passed
      · ProtocolError                an answer that cannot be read, or that broke off
          · UnreadableAnswerError    not the object that was asked for (also a ValueError)
      · UnsupportedInputError        raised before any request (also a ValueError)
      · ConfigurationError           raised before any request (also a ValueError)
    DashScopeWarning                 a UserWarning
      · RetiredModelWarning          the hosted service no longer has this model
      · UnknownModelWarning          no record of this model; cautious defaults apply
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import httpx2

_MAX_MESSAGE_LENGTH = 2000
_MAX_FACTS_LENGTH = 500
_MAX_MODEL_LENGTH = 200
# A server's text may be shown in a terminal or written to a log.
_CONTROL_CHARACTERS = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"
_SENTENCE_ENDS = (".", ".)", "!", "?", "。", "！")


class DashScopeError(Exception):
    """The root: catch this to catch everything that this package raises.

    Its text says what happened and to which model, then the facts that the vendor's support asks
    for, then what to do.

    Attributes:
        message: what happened, in the service's words if it gave a reason.
        status_code: HTTP status, ``None`` if there was no answer.
        code: the vendor's code, e.g. ``"InvalidApiKey"``.
        request_id: the service's id of the call.
        retry_after: seconds that the service asked to wait.
        partial_text: text of a stream that had arrived before it broke.
        model: the id of the model asked.
        response: the answer with status, headers and body, an ``httpx2.Response`` without its
            request; ``None`` if there was none.
        hint: what to do in this very case.
        advice: what to do about errors of this class.
        retryable: whether the same call may succeed later.
    """

    retryable = False
    advice = ""

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        partial_text: str | None = None,
        model: str | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.partial_text = partial_text
        self.model = model
        self.response: httpx2.Response | None = None
        self.hint = hint

    def __str__(self) -> str:
        parts = (self._event(), self._facts(), self.advice, self.hint)
        return re.sub(_CONTROL_CHARACTERS, "\ufffd", " ".join(filter(None, parts)))

    def _event(self) -> str:
        model = f"{shortened(self.model, _MAX_MODEL_LENGTH)}: " if self.model else ""
        text = shortened(self.message)
        return model + text + ("" if text.endswith(_SENTENCE_ENDS) else ".")

    def _facts(self) -> str:
        facts = (
            ("status", self.status_code),
            ("code", self.code),
            ("request_id", self.request_id),
            ("retry_after", self.retry_after and round(self.retry_after, 3)),
        )
        text = ", ".join(f"{name} {value}" for name, value in facts if value is not None)
        return f"[{shortened(text, _MAX_FACTS_LENGTH)}]" if text else ""

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuilt, (type(self), dict(self.__dict__)))


class AuthenticationError(DashScopeError):
    """The service does not accept the API key."""

    advice = "Check DASHSCOPE_API_KEY: a key belongs to one region."


class PermissionDeniedError(DashScopeError):
    """The key is known but may not use this model or workspace."""

    advice = "Check in the console that the model is activated for this key and workspace."


class QuotaExhaustedError(PermissionDeniedError):
    """The free quota is used up, or the account is in debt; waiting does not help."""

    advice = "Check balance and free quota of the account in the console."


class ModelNotFoundError(DashScopeError):
    """The service has no model of this id."""

    advice = "`dashscope-oss models` lists the known ids."


class InvalidRequestError(DashScopeError):
    """The service refuses the request; sending it again cannot help."""

    advice = "Change the request; sending it again does not help."


class ContextLengthError(InvalidRequestError):
    """The input is longer than the model takes."""

    advice = "Shorten the input, or use a model with a longer context."


class ContentBlockedError(InvalidRequestError):
    """The service's content inspection stopped the input or the answer."""

    advice = "Change the wording of the input; sending it again does not help."


class RateLimitError(DashScopeError):
    """Too many requests or tokens for the moment."""

    retryable = True
    advice = "Try again later, send fewer calls at once, or raise max_retries."


class ServerError(DashScopeError):
    """A fault on the side of the service."""

    retryable = True
    advice = "Try again later, or raise max_retries."


class APIConnectionError(DashScopeError):
    """No connection to the service, or it was lost before the answer began."""

    retryable = True


class APITimeoutError(APIConnectionError):
    """A time limit passed; the message names which."""


class ProtocolError(DashScopeError):
    """An answer that cannot be read, or a stream that ended too soon."""

    advice = "Check base_url and any proxy or gateway in between, then try again."


class UnreadableAnswerError(ProtocolError, ValueError):
    """The model's answer is not the object or the tool call that was asked for."""

    advice = "Simplify the question or the schema, or use a larger model."


class UnsupportedInputError(DashScopeError, ValueError):
    """The model cannot take this input; nothing was sent."""

    def at_message(self, place: int, kind: str, model: str) -> Self:
        """Return this error; it then names the message and the model that it is about.

        Args:
            place: index of the message in the caller's list.
            kind: its role, or its class in a framework.
            model: id of the model.
        """
        self.model = model
        self.message = f"messages[{place}] ({kind}): {self.message}"
        return self


class ConfigurationError(DashScopeError, ValueError):
    """A setting is missing or impossible; nothing was sent."""


class DashScopeWarning(UserWarning):
    """Root of this package's warnings."""


class RetiredModelWarning(DashScopeWarning):
    """The model was taken off the hosted service; the request is sent all the same."""


class UnknownModelWarning(DashScopeWarning):
    """The registry has no record of this model; cautious defaults are used."""


def shortened(text: str, limit: int = _MAX_MESSAGE_LENGTH) -> str:
    """Return ``text``, cut if it is longer than ``limit`` characters."""
    return text if len(text) <= limit else text[:limit] + " … (cut)"


def similar_names(name: str, known: Iterable[str], likeness: float = 0.6) -> list[str]:
    """Return up to three of the known names that ``name`` may be a misspelling of, likest first.

    Args:
        name: as it was written.
        known: the right names.
        likeness: in [0, 1]; 1 is the same name.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - only misspelt names need it

    return get_close_matches(name, list(known), cutoff=likeness)


def did_you_mean(names: Sequence[str]) -> str:
    """Return the question whether one of ``names`` was meant, after a space; nothing for none."""
    *others, last = names or [""]
    choice = f"{', '.join(others)} or {last}" if others else last
    return f" Did you mean {choice}?" if choice else ""


def _rebuilt(cls: type[DashScopeError], state: dict[str, object]) -> DashScopeError:
    error = cls.__new__(cls, state["message"])
    error.__dict__.update(state)
    return error


def warn(text: str, category: type[DashScopeWarning]) -> None:
    """Warn at the line of the caller's own code, outside of this package and the frameworks."""
    level, frame = 2, sys._getframe(1)  # noqa: SLF001 - warnings has no other way before 3.12
    while (
        frame.f_back
        and frame.f_globals.get("__name__", "").partition(".")[0] in _OWN_AND_FRAMEWORKS
    ):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)


def warn_once(text: str, category: type[DashScopeWarning]) -> None:
    """Warn as :func:`warn` does, but of the same text once in the life of the process."""
    if text not in _warned_texts:
        _warned_texts.add(text)
        warn(text, category)


_warned_texts: set[str] = set()
_OWN_AND_FRAMEWORKS = (
    "dashscope_oss",
    "langchain_dashscope_oss",
    "llama_index_dashscope_oss",
    "contextlib",
    "langchain_core",
    "llama_index",
    "pydantic",
)
