"""One question on its way: what is asked, what is known before the heads run, and what is answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from app.candidates import Candidates, Filters
from app.outcome import Ranked
from app.state import Live
from app.stored import Record, Row
from app.users import Past
from model_store.fusion import Fusion
from model_store.parts import Rows

CacheUse = Literal["hit", "miss", "bypass"]


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One question. `history` None: the stored one; `candidates` None: retrieve them from the catalogue.

    words: place of the request's word among the known ones of each column, -1 for another. `bundled`: answered as
    of the end of training's log, without what was counted or shown since.
    """

    now: float
    fusion: Fusion
    user_id: str | None = None
    history: tuple[Record, ...] | None = None
    profile: str | None = None
    query: str | None = None
    candidates: Candidates | None = None
    k: int = 20
    filters: Filters = field(default_factory=dict)
    exclude: frozenset[str] = frozenset()
    exclude_seen: bool | None = None
    explain: bool = False
    words: Mapping[str, int] = field(default_factory=dict)
    bundled: bool = False

    @property
    def stored_user(self) -> str | None:
        """The user whose history is wanted from Redis."""
        return self.user_id if self.history is None else None

    @property
    def spare(self) -> str | None:
        """The query, if there is an answer without it: given candidates, ranked for the user alone."""
        known = self.user_id is not None or self.history is not None
        return self.query if known and self.candidates is not None else None

    @property
    def texts(self) -> list[str]:
        """Texts that this question brings."""
        cold = self.candidates.texts if self.candidates else ()
        return [text for text in (self.query, self.profile, *cold) if text]


@dataclass(frozen=True)
class Ranking:
    """The answer: items best first, ids that are not in the catalogue, what was done without.

    interests: what the user's vector tells by itself, by task, as served.
    """

    items: list[Ranked]
    unknown: list[str]
    degraded: list[str]
    cache: CacheUse
    interests: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Draft:
    """What is at hand of an ask; `user` None: its vector has to be computed; rows (n,): of the candidates given."""

    ask: Ask
    rows: Rows | None
    past: Past
    user: Row | None
    cache: CacheUse

    @property
    def texts(self) -> list[str]:
        """Texts whose rows are needed; a profile's only while there is no vector of the user."""
        texts = [text for text in self.ask.texts if text != self.ask.profile]
        return [*texts, self.past.profile] if self.past.profile and self.user is None else texts


@dataclass(frozen=True, kw_only=True)
class Known:
    """All that one ask needs before the heads run: rows of texts, the vectors (d,) of user and query.

    without: what Redis did not answer; lists: entries of those shown to the user; live: None if nothing was counted
    or asked for; rows (n,): of the candidates, -1 for an id that is not in the catalogue; None: not
    looked up, or not retrieved, yet.
    """

    past: Past
    user: Row
    query: Row | None
    texts: Mapping[str, Row]
    cache: CacheUse
    without: tuple[str, ...] = ()
    lists: Sequence[Any] = ()
    live: Live | None = None
    rows: Rows | None = None
