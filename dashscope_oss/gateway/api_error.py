"""What a call that is not answered gets: the vendor's status, code and text.

Codes and texts are the vendor's (its status-code page and English error page), because clients
match on them. Where no text of the service is known, one is made in its manner.
"""

from __future__ import annotations

from typing import NoReturn

MAX_BODY_BYTES = 32_000_000

UNAVAILABLE = (503, "ModelUnavailable", "Model is unavailable, try again later.")
NOT_JSON = "Required body invalid, please check the request body format."
BROKEN_OFF = (500, "InternalError", "The engine broke off its answer.")


class APIError(Exception):
    """A call that is not answered: the vendor's status, code and text.

    Attributes:
        cause: what really went wrong, for who runs the gateway; callers are not told.
    """

    def __init__(self, status: int, code: str, message: str, *, cause: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.cause = cause

    @property
    def body(self) -> dict[str, object]:
        """The error's body, without ``request_id``."""
        return {"code": self.code, "message": self.message}


class UnsupportedByUpstream(APIError):
    """A parameter that this upstream has no name for; one of another kind may have."""


def invalid(message: str) -> NoReturn:
    """Refuse a field of the body by a 400, ``InvalidParameter``."""
    raise APIError(400, "InvalidParameter", message)
