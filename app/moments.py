"""What is known when candidates are scored, gathered from the catalogue, the user, the request and Redis.

The features are made of it by model_store/features.py, as in training.
"""

import numpy as np

from app import shown
from app.catalogue import Catalogue
from app.pasts import Pasts
from app.prior import Prior
from app.round import Round
from app.slate import Codes, Slate
from app.state import Live
from model_store.clock import Times
from model_store.counters import Statistics
from model_store.engine import Engine
from model_store.features import Context
from model_store.moment import Floats, Ints, Met, Moment, met
from model_store.parts import Rows
from model_store.taste import Grades, Tastes
from model_store.words import ASKED, MATCHES


class Moments:
    """Context features of candidates, for one bundle."""

    def __init__(self, engine: Engine, catalogue: Catalogue) -> None:
        self._features = engine.features
        self._catalogue = catalogue
        self._items = catalogue.items
        self._kinds = {
            name: catalogue.items.attributes[name].places(known)
            for name, known in engine.features.kinds.items()
        }
        self._habits = {event: engine.manifest.events.index(event) for event in engine.features.habits}
        self._lifts = {
            engine.manifest.events.index(event): told for event, told in engine.features.lifts.items()
        }
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

    def context(self, asked: Round) -> Context:
        """Context features of the candidates; of nothing live they are those of the bundle's prior alone."""
        slate, pasts = asked.slate, Pasts.of([one.past for one in asked.known])
        now = np.array([ask.now for ask in asked.asks])
        each = asked.each
        words = {
            column: np.array([ask.words.get(column, -1) for ask in asked.asks])
            for column in self._features.words
        }
        matches, queries = self._worded(asked)
        grades = Grades(pasts.kinds, pasts.owners, len(pasts.sizes), self._lifts)
        moment = Moment(
            now=each(now),
            published=slate.published,
            last_event=each(pasts.last),
            sizes=each(pasts.sizes.astype(np.float64)),
            shares=self._shares(asked, pasts),
            habits={event: each(pasts.share(kind)) for event, kind in self._habits.items()},
            moods={events: each(grades.mood(int(events))) for events in self._features.moods},
            tastes={name: self._taste(name, grades, asked, pasts) for name in self._features.tastes},
            statistics=self._statistics(slate, asked.live, each(now)) if self.counted else None,
            shown=self._shown(asked, now),
            again=self._again(asked, pasts) if self._features.again else None,
            numbers={column: slate.numbers(column) for column in self._features.numbers},
            kinds={name: _placed(places, slate.codes(name)) for name, places in self._kinds.items()},
            words={column: each(places) for column, places in words.items()},
            matches=matches,
            queries={measure: each(told) for measure, told in queries.items()},
            starts=asked.lists,
        )
        return self._features.context(moment, asked.sizes.cumsum() - asked.sizes)

    def told(self, context: Context, owners: Rows, picks: Rows) -> list[dict[str, list[float]]]:
        """Features of some candidates, of these asks, by their names."""
        rows = self._features.rows(context.shared[owners], context.own[picks])
        return [{name: row[places].tolist() for name, places in self._places.items()} for row in rows]

    def _shares(self, asked: Round, pasts: Pasts) -> dict[str, Floats]:
        shares = {}
        for name in self._features.attributes:
            codes = self._catalogue.codes(name, pasts.rows)
            tastes = Tastes(codes, pasts.owners, pasts.sizes, self._catalogue.values(name))
            shares[name] = tastes.shares(asked.slate.codes(name), asked.owners)
        return shares

    def _taste(self, name: str, grades: Grades, asked: Round, pasts: Pasts) -> Floats:
        past, codes = self._catalogue.codes(name, pasts.rows), asked.slate.codes(name)
        return grades.taste(past, codes, asked.owners, self._catalogue.values(name))

    def _worded(self, asked: Round) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """How the candidates match the queries, by measure (n,), and what the queries are, (G,)."""
        wording = self._items.wording
        if wording is None:
            return {}, {}
        matches, queries = np.zeros((len(MATCHES), len(asked.slate))), np.zeros((len(ASKED), len(asked.asks)))
        for number, (ask, one, part) in enumerate(zip(asked.asks, asked.known, asked.parts, strict=True)):
            if ask.query is not None and one.query is not None:
                query = wording.asked(ask.query)
                matches[:, part], queries[:, number] = query.matched(asked.slate.shingles(part)), query.told()
        return dict(zip(MATCHES, matches, strict=True)), dict(zip(ASKED, queries, strict=True))

    def _statistics(self, slate: Slate, live: Live | None, now: Times) -> Statistics:
        earlier = self._prior.read(self._catalogue.bundled(slate.rows), now, live.began if live else None)
        if live is None:
            return earlier
        return self._features.layout.read(live.of(slate.ids), now).after(earlier)

    def _again(self, asked: Round, pasts: Pasts) -> Met:
        """By numbers of user and item together; 0 stands for an item that is not in the catalogue."""
        width = self._catalogue.span + 1
        items = asked.owners * width + asked.slate.rows + 1
        return met(items, pasts.owners * width + pasts.rows + 1, pasts.times)

    def _shown(self, asked: Round, now: Times) -> Met | None:
        if self._marks is None:
            return None
        lists = [one.lists for one in asked.known]
        return shown.meetings(self._marked(asked.slate, self._marks), asked.owners, lists, now)

    def _marked(self, slate: Slate, marks: Ints) -> Ints:
        """The mark of each item of the slate, (n,)."""
        rows = self._catalogue.bundled(slate.rows)
        found = marks[rows]  # of a row -1 the last item's, which is then replaced
        cold = np.flatnonzero(rows < 0).tolist()
        found[cold] = shown.marks([slate.ids[n] for n in cold])
        return found


def _placed(places: Ints, codes: Codes) -> Ints:
    """Places of the codes; a value that the bundle does not know is as none at all, whose place is the last."""
    return places[np.minimum(codes, len(places) - 1)]
