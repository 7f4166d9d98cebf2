"""What scoring a file can be no faster than: the heads alone, on users and contexts that lie ready.

    SPEED_BUNDLE=... python -m benchmarks.speed.contenders.pair_loop SECONDS CANDIDATES

So many candidates a run, each run another user with items drawn from the whole catalogue; gathering them counts.
Prints pairs a second, as JSON.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

from benchmarks.speed.contenders.loop import often
from model_store.bundle import Bundle
from model_store.clock import Clock
from model_store.features import FeatureSet
from model_store.scorer import Scorer, Side

USERS = 1_000


def main(seconds: float, candidates: int) -> None:
    """Chorus's scorer in a loop."""
    bundle = Bundle.open(Path(os.environ["SPEED_BUNDLE"]))
    features = FeatureSet(bundle.manifest.features, Clock(bundle.manifest.timezone))
    scorer, parts, generator = Scorer(bundle, features), bundle.items.parts, np.random.default_rng(16)
    users = generator.standard_normal((USERS, bundle.manifest.dimension), dtype=np.float32)
    users /= np.linalg.norm(users, axis=1, keepdims=True)
    shared = generator.standard_normal((USERS, len(features.shared)), dtype=np.float32)
    own = generator.standard_normal((candidates, len(features.own)), dtype=np.float32)
    places = generator.integers(len(parts), size=(USERS, candidates))
    sides = [Side(user, None, told) for user, told in zip(users, shared, strict=True)]

    def run(number: int) -> None:
        scorer.scores(sides[number % USERS], parts, places[number % USERS], own)

    sys.stdout.write(json.dumps({"pairs": candidates * often(run, seconds)}) + "\n")


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
