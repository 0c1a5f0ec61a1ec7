"""Errors that a caller of the gateway gets: the vendor's status, code and text.

Codes and texts are those of the vendor's pages of status codes and errors, because clients match
on them. Where no text of the service is known, one is written in its manner.
"""

from __future__ import annotations

MAX_BODY_BYTES = 32_000_000
"""The largest body of a request that the gateway accepts."""

TOO_MANY_REQUESTS = (429, "Throttling.RateQuota", "Requests rate limit exceeded, try again later.")


class APIError(Exception):
    """A call that is not answered.

    Attributes:
        status: HTTP's.
        code: the vendor's.
        message: the vendor's text, which the caller reads.
        cause: what really went wrong, for whoever runs the gateway; callers are not told.
        retry_after: seconds after which the call may succeed, if that is known.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        cause: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.cause = cause
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, object]:
        """The error's JSON body, without ``request_id``."""
        return {"code": self.code, "message": self.message}


class InvalidParameter(APIError):
    """400: a field of the request's body is wrong."""

    def __init__(self, message: str) -> None:
        super().__init__(400, "InvalidParameter", message)


class UnreadableBody(InvalidParameter):
    """400: the request's body is not a JSON object in UTF-8."""

    def __init__(self) -> None:
        super().__init__("Required body invalid, please check the request body format.")


class BodyTooLarge(APIError):
    """400: the request's body is larger than the gateway accepts."""

    def __init__(self) -> None:
        super().__init__(400, "BadRequest.TooLarge", "Payload Too Large")


class ModelUnavailable(APIError):
    """503: the model cannot answer now, but may later."""

    def __init__(self, *, cause: str = "") -> None:
        super().__init__(
            503, "ModelUnavailable", "Model is unavailable, try again later.", cause=cause
        )


class AnswerBrokenOff(APIError):
    """500: the engine stopped in the middle of its answer."""

    def __init__(self, *, cause: str = "") -> None:
        super().__init__(500, "InternalError", "The engine broke off its answer.", cause=cause)


class UnsupportedByUpstream(APIError):
    """A parameter that this upstream has no name for; one of another kind may have."""
