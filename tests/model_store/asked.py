"""Candidates of one asker, drawn at random, and what the heads say of them."""

import numpy as np

from model_store.bundle import Bundle
from model_store.engine import Engine
from model_store.scorer import Scorer, Side


class Request:
    """Candidates of one asker, drawn at random."""

    def __init__(
        self, opened: Bundle, engine: Engine, rows: int, *, seed: int = 0, query: bool = True
    ) -> None:
        random, features = np.random.default_rng(seed), engine.features
        user, asked = (
            vector / np.linalg.norm(vector) for vector in random.normal(size=(2, opened.manifest.dimension))
        )
        context = random.normal(size=(rows, features.width)).astype(np.float32)
        context[:, features.shared] = context[:1, features.shared]
        self.query = asked.astype(np.float32) if query else None
        self.side = Side(user.astype(np.float32), self.query, context[0, features.shared])
        self.places, self.own = random.integers(len(opened.items), size=rows), context[:, features.own]
        self.context, self.items = context, opened.items.vectors[self.places]


def reference(engine: Engine, scorer: Scorer, given: Request) -> np.ndarray:
    found = engine.heads(given.side.user, given.query, given.items, given.context)
    return np.concatenate([found[task.name] for task in scorer.tasks], axis=1)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
