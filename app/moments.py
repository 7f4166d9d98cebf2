"""What is known when candidates are scored, gathered from the catalogue, the user, the request and Redis.

The features are made of it by model_store/features.py, as in training.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from app import shown
from app.catalogue import Catalogue
from app.prior import Prior
from app.question import Ask, Known
from app.slate import Slate
from app.state import Live
from app.stored import Row
from app.users import Past
from model_store import taste
from model_store.counters import Statistics
from model_store.engine import Engine
from model_store.moment import Floats, Ints, Met, Moment, met


class Moments:
    """Context features of slates, for one bundle."""

    def __init__(self, engine: Engine, catalogue: Catalogue) -> None:
        self._features = engine.features
        self._items = catalogue.items
        self._kinds = {
            name: catalogue.items.attributes[name].places(known)
            for name, known in engine.features.kinds.items()
        }
        self._habits = {event: engine.manifest.events.index(event) for event in engine.features.habits}
        self._prior = Prior(
            engine.features.layout, catalogue.items.statistics, engine.manifest.statistics_until
        )
        self._marks = shown.marks(catalogue.items.ids) if engine.features.shown else None
        names = engine.features.columns
        self._places = {name: [n for n, each in enumerate(names) if each == name] for name in names}

    @property
    def counted(self) -> bool:
        """Whether the features read records of items."""
        return not self._features.layout.empty

    @property
    def shown(self) -> bool:
        """Whether the features read the lists that were shown to the user."""
        return self._features.shown

    def context(self, slate: Slate, ask: Ask, known: Known) -> Row:
        """Context features of the slate, (n, F); of nothing live they are those of the bundle's prior alone."""
        past, now = known.past, ask.now
        moment = Moment(
            now=np.array([now]),
            published=slate.published,
            last_event=np.array([past.last]),
            sizes=np.array([float(len(past.rows))]),
            shares=self._shares(slate, past),
            habits={event: past.share(kind) for event, kind in self._habits.items()},
            statistics=self._statistics(slate, known.live, now) if self.counted else None,
            shown=self._shown(slate, known.lists, now),
            again=met(slate.rows, past.rows, past.times) if self._features.again else None,
            numbers={column: slate.numbers(column) for column in self._features.numbers},
            kinds={name: places[slate.codes(name)] for name, places in self._kinds.items()},
            words={column: np.array([ask.words.get(column, -1)]) for column in self._features.words},
        )
        return self._features.matrix(moment)

    def told(self, context: Row) -> list[dict[str, list[float]]]:
        """Rows of features by their names."""
        return [{name: row[places].tolist() for name, places in self._places.items()} for row in context]

    def _shares(self, slate: Slate, past: Past) -> dict[str, Floats]:
        shares = {}
        for name in self._features.attributes:
            attribute = self._items.attributes[name]
            profile = taste.profile(attribute.codes[past.rows], len(attribute.values))
            shares[name] = taste.shares(profile, slate.codes(name))
        return shares

    def _statistics(self, slate: Slate, live: Live | None, now: float) -> Statistics:
        earlier = self._prior.read(slate.rows, now, live.began if live else None)
        if live is None:
            return earlier
        return self._features.layout.read(live.of(slate.ids), np.array([now])).after(earlier)

    def _shown(self, slate: Slate, lists: Sequence[Any], now: float) -> Met | None:
        if self._marks is None:
            return None
        return shown.meetings(self._marked(slate, self._marks), lists, now)

    def _marked(self, slate: Slate, marks: Ints) -> Ints:
        """The mark of each item of the slate, (n,)."""
        found = marks[slate.rows]  # of a row -1 the last item's, which is then replaced
        cold = np.flatnonzero(slate.rows < 0).tolist()
        found[cold] = shown.marks([slate.ids[n] for n in cold])
        return found
