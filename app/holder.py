"""A key at hand: what it opens, and what it has left to spend.

requests      taken when the key is shown, before a body is read
candidates    taken when it is known how many are asked for, before one is scored
"""

from math import ceil, inf
from typing import Literal

from app import keyring
from app.bucket import Bucket
from app.errors import TooLarge, TooOften
from app.keyring import Key, Scope
from app.series import Count

Need = Scope | Literal["any", "none"]  # any: whatever key


class Holder:
    """before: the same key as it was until its file changed; what it has spent stays spent."""

    __slots__ = ("_candidates", "_count", "_requests", "expires", "key", "needs")

    def __init__(self, key: Key, count: Count, before: "Holder | None" = None) -> None:
        self.key = key
        self._count = count
        self.needs: set[Need] = {"any", *(keyring.SCOPES if "admin" in key.scopes else key.scopes)}
        self.expires = inf if key.expires is None else key.expires.timestamp()
        self._requests: Bucket | None = _bucket(key.rate, key.burst, before._requests if before else None)
        self._candidates: Bucket | None = _bucket(
            key.candidates, key.candidates_burst, before._candidates if before else None
        )

    def come(self) -> None:
        """Count a request. TooOften if it is one too many."""
        if self._requests and (seconds := self._requests.take()):
            often = f"the key {self.key.name} came more than {self.key.rate:g} times a second"
            raise TooOften(f"{often}; wait as Retry-After says", retry_after=ceil(seconds))
        self._count.inc()

    def spend(self, candidates: int) -> None:
        """Have so many scored, or none. TooOften until there is room for them, TooLarge if there never will be."""
        bucket = self._candidates
        if bucket is None or not (seconds := bucket.take(candidates)):
            return
        if seconds == inf:
            most = f"the key {self.key.name} may have {bucket.burst:g} scored at once"
            raise TooLarge(
                f"the request asks for {candidates} candidates and {most}, so it never can; "
                "send fewer at once, or have the key's candidates_burst raised"
            )
        often = f"the key {self.key.name} asked for more than {bucket.rate:g} candidates a second"
        wait = ceil(seconds)
        raise TooOften(f"{often}; come again in {wait} s, or with fewer", retry_after=wait)


def _bucket(rate: float | None, burst: float | None, before: Bucket | None) -> Bucket | None:
    """The one from before, if its limits are the same."""
    if rate is None:
        return None
    most = burst or max(1.0, rate)
    return before if before and (before.rate, before.burst) == (rate, most) else Bucket(rate, most)
