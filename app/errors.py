"""What can go wrong in the service, as a tree. A service error is its status.

ChorusError (model_store.errors)
├── SettingsError               a CHORUS_* variable is unknown or has a bad value; the start stops
├── RedisRefused                the embedded Redis cannot use its folder; the start stops
├── CacheAway                   Redis did not answer; never reaches a caller of /recommend
└── ServiceError           500  what a caller sees, as {"error", "error_type", "request_id"}
    ├── Invalid            422  a field cannot be used; the message names its path and says the fix
    ├── Unknown            404  no item of that id
    ├── TooLarge           413  more bytes, candidates or entries than the limits in /info
    ├── NotReady           503  no model loaded yet, or draining; try again
    ├── Busy               503  too much waits already; try again
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
    retry_after: ClassVar[int | None] = None

    def body(self, request_id: str | None = None) -> dict[str, Any]:
        """The error as JSON; entries of a batch carry no id of their own."""
        body = {"error": str(self), "error_type": self.type}
        return body if request_id is None else body | {"request_id": request_id}


class Invalid(ServiceError):
    """A field cannot be used."""

    status = 422
    type = "validation"


class Unknown(ServiceError):
    """There is no such item."""

    status = 404
    type = "not_found"


class TooLarge(ServiceError):
    """More than the limits allow."""

    status = 413
    type = "too_large"


class NotReady(ServiceError):
    """No model is loaded yet, or the service is draining."""

    status = 503
    type = "not_ready"
    retry_after = 1


class Busy(ServiceError):
    """So much waits that this would wait too long."""

    status = 503
    type = "overloaded"
    retry_after = 1


class NotStored(ServiceError):
    """An event or an item could not be stored."""

    status = 503
    type = "not_stored"
    retry_after = 1


class ModelFailure(ServiceError):
    """The model gave a number that is not finite."""
