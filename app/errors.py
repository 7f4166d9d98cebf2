"""What can go wrong in the service, as a tree. A service error is its status.

ChorusError (model_store.errors)
├── SettingsError               a CHORUS_* variable is unknown or has a bad value; the start stops
├── RedisRefused                the embedded Redis cannot use its folder; the start stops
├── CacheAway                   Redis did not answer; never reaches a caller of /recommend
└── ServiceError           500  what a caller sees, as {"error", "error_type", "request_id"}
    ├── Malformed          400  no HTTP that could be answered
    ├── TooSlow            408  the request did not arrive in time
    ├── HeadersTooLarge    431  more headers than anybody needs
    ├── Encoded            415  the body is compressed
    ├── Unauthorized       401  no key, or one that is unknown, revoked or expired
    ├── Forbidden          403  the key does not reach that far; the message names the missing scope
    ├── TooOften           429  the key comes more often than it may; Retry-After says when it may again
    ├── Invalid            422  a field cannot be used; the message names its path and says the fix
    ├── Unknown            404  no item of that id, no such version
    ├── Refused            409  another version cannot be served; the one that serves goes on
    │   └── Busy                for one is being loaded: later it may be
    ├── TooLarge           413  more bytes, candidates or entries than the limits in /info
    ├── NotReady           503  no model loaded yet; try again
    ├── Overloaded         429  it would wait too long; try again
    ├── Expired            504  the deadline has passed
    ├── Gone               499  the caller has hung up: for the metrics alone
    ├── NotStored          503  Redis is away and an event or item would be lost; send it again
    └── ModelFailure       500  the model gave a number that is not finite
"""

from typing import Any, ClassVar

from model_store.errors import ChorusError


class SettingsError(ChorusError):
    """The environment says something that the service cannot follow."""


class RedisRefused(ChorusError):
    """The embedded Redis cannot be started where it was asked to keep its data."""


class CacheAway(ChorusError):
    """Redis did not answer in time, or is known to be away."""


class ServiceError(ChorusError):
    """What a caller sees."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "internal"
    retry_after: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What the answer says beside its body."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}

    def body(self, request_id: str | None = None) -> dict[str, Any]:
        """The error as JSON; entries of a batch carry no id of their own."""
        body = {"error": str(self), "error_type": self.type}
        return body if request_id is None else body | {"request_id": request_id}


class Malformed(ServiceError):
    """No HTTP that could be answered."""

    status = 400
    type = "malformed"


class TooSlow(ServiceError):
    """The request did not arrive in time."""

    status = 408
    type = "too_slow"


class HeadersTooLarge(ServiceError):
    """More headers than anybody needs."""

    status = 431
    type = "headers_too_large"


class Encoded(ServiceError):
    """The body is compressed."""

    status = 415
    type = "encoded"


class Unauthorized(ServiceError):
    """There is no key, or one that does not count."""

    status = 401
    type = "unauthorized"

    def __init__(self, message: str, *, wrong: bool = False) -> None:
        super().__init__(message)
        self._challenge = 'Bearer realm="chorus"' + (', error="invalid_token"' if wrong else "")

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": self._challenge}


class Forbidden(ServiceError):
    """The key does not reach that far; `scope` is what it lacks."""

    status = 403
    type = "forbidden"

    def __init__(self, message: str, scope: str = "admin") -> None:
        super().__init__(message)
        self._challenge = f'Bearer realm="chorus", error="insufficient_scope", scope="{scope}"'

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": self._challenge}


class TooOften(ServiceError):
    """The key comes more often than it may."""

    status = 429
    type = "rate_limited"

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Invalid(ServiceError):
    """A field cannot be used."""

    status = 422
    type = "validation"


class Unknown(ServiceError):
    """There is no such item, or no such version."""

    status = 404
    type = "not_found"


class Refused(ServiceError):
    """Another version cannot be served: it failed a check, or one is being loaded already."""

    status = 409
    type = "refused"


class Busy(Refused):
    """Another version is being loaded."""


class TooLarge(ServiceError):
    """More than the limits allow."""

    status = 413
    type = "too_large"


class NotReady(ServiceError):
    """No model is loaded yet."""

    status = 503
    type = "not_ready"
    retry_after = 1


class Overloaded(ServiceError):
    """So much is to be done already that this would wait too long."""

    status = 429
    type = "overloaded"
    retry_after = 1


class Expired(ServiceError):
    """The deadline has passed; nothing more is done for the request."""

    status = 504
    type = "timeout"


class Gone(ServiceError):
    """Whoever asked has hung up, and never sees this."""

    status = 499
    type = "gone"


class NotStored(ServiceError):
    """An event or an item could not be stored."""

    status = 503
    type = "not_stored"
    retry_after = 1


class ModelFailure(ServiceError):
    """The model gave a number that is not finite."""
