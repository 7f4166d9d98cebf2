"""Which items are scored for a question: those given, or those retrieved from the catalogue."""

import numpy as np

from app.catalogue import Candidate, Catalogue, Rows, Slate
from app.question import Ask, Known
from model_store.manifest import Retrieval


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
        unique: dict[str, Candidate] = {}
        for candidate in ask.candidates:
            unique.setdefault(candidate.item_id, candidate)
        unknown = [each.item_id for each in unique.values() if not self._catalogue.knows(each)]
        hidden = _hidden(ask, known)
        kept = [
            each
            for each in unique.values()
            if self._catalogue.knows(each)
            and each.item_id not in hidden
            and self._catalogue.passes(each, ask.filters)
        ]
        return self._catalogue.slate(kept, known.texts), unknown

    def retrieve(self, ask: Ask, known: Known) -> Rows:
        """The rows of the catalogue that are nearest to the user and the query, after filters and exclusions."""
        rows = self._catalogue.allowed(ask.filters, _hidden(ask, known))
        vector = np.float32(self._weights.user_weight) * known.user
        if known.query is not None:
            vector = vector + np.float32(self._weights.query_weight) * known.query
        return self._catalogue.nearest(rows, vector, max(self._most, ask.k))


def _hidden(ask: Ask, known: Known) -> frozenset[str]:
    """Ids that are left out; of the history's only if that is asked for, or if items are retrieved."""
    hide = ask.candidates is None if ask.exclude_seen is None else ask.exclude_seen
    return ask.exclude | known.past.seen if hide else ask.exclude
