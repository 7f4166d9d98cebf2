"""Which items are scored for a question: those given, or those retrieved from the catalogue."""

import numpy as np

from app.catalogue import Catalogue
from app.question import Ask, Known
from app.slate import Slate
from model_store.manifest import Retrieval
from model_store.parts import Rows


class Slates:
    """Chooses the candidates of each question."""

    def __init__(self, catalogue: Catalogue, weights: Retrieval, most: int) -> None:
        self._catalogue = catalogue
        self._weights = weights
        self._most = most

    def chosen(self, ask: Ask, known: Known) -> tuple[Slate, list[str]]:
        """Candidates after filters and exclusions, each once, and the ids of the unknown ones."""
        if ask.candidates is None:
            rows = self.retrieve(ask, known) if known.rows is None else known.rows
            return self._catalogue.stored(rows), []
        given, hidden = ask.candidates, _hidden(ask, known)
        rows = self._catalogue.places(given.ids) if known.rows is None else known.rows
        unknown: list[str] = []
        passing = self._catalogue.passing(given, rows, ask.filters)
        if hidden:
            passing &= np.array([item not in hidden for item in given.ids], dtype=bool)
        if not passing.all():
            unknown = [
                given.ids[n] for n in np.flatnonzero(rows < 0).tolist() if given.ids[n] not in given.described
            ]
            given, rows = given.kept(passing), rows[passing]
        return self._catalogue.slate(given, rows, known.texts), unknown

    def retrieve(self, ask: Ask, known: Known) -> Rows:
        """The rows of the catalogue that are nearest to the user and the query, after filters and exclusions."""
        vector = np.float32(self._weights.user_weight) * known.user
        if known.query is not None:
            vector = vector + np.float32(self._weights.query_weight) * known.query
        return self._catalogue.nearest(vector, max(self._most, ask.k), ask.filters, _hidden(ask, known))


def _hidden(ask: Ask, known: Known) -> frozenset[str]:
    """Ids that are left out; of the history's only if that is asked for, or if items are retrieved."""
    hide = ask.candidates is None if ask.exclude_seen is None else ask.exclude_seen
    return ask.exclude | known.past.seen if hide else ask.exclude
