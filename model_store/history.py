"""A user's history as the user encoder reads it: vectors, event types, time gaps, local hours.

Gaps are counted back from the newest event, not from now: the user vector is then a pure function of
the history, and a cached one is exact until the next event. How long ago that newest event was is a
feature of the heads (`since_last`), computed at the moment of the request.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.clock import Clock, Times

PROFILE = "profile"  # the first event type of every bundle: what the user's own record says
GAP_BUCKETS = 40  # two to an octave of minutes: the last one begins after 514 days


def gap_buckets(times: Times) -> NDArray[np.int64]:
    """Log bucket of the minutes between each event and the newest, for times (..., L), L at least 1."""
    minutes = np.maximum(times.max(axis=-1, keepdims=True) - times, 0.0) / 60.0
    buckets = np.floor(2.0 * np.log2(1.0 + minutes))
    return np.asarray(np.minimum(buckets, GAP_BUCKETS - 1), dtype=np.int64)


@dataclass(frozen=True)
class History:
    """The newest events of one user, oldest first; a profile, if any, stands before them.

    vectors: (L, d) float32 of the items (or of the profile's text)
    events:  (L,) int64, index into the manifest's `events`
    times:   (L,) float64, unix seconds; the profile's is that of the oldest event, 0 if there is none
    """

    vectors: NDArray[np.float32]
    events: NDArray[np.int64]
    times: Times

    @classmethod
    def none(cls, width: int) -> "History":
        """That of somebody who has done nothing yet."""
        return cls(np.zeros((0, width), dtype=np.float32), np.zeros(0, dtype=np.int64), np.zeros(0))

    def opened_by(self, profile: NDArray[np.float32]) -> "History":
        """The same history with a profile's vector (d,) before the first event."""
        oldest = self.times[:1] if self.times.size else np.zeros(1)
        return History(
            np.concatenate([profile[None], self.vectors]),
            np.concatenate([np.zeros(1, dtype=np.int64), self.events]),
            np.concatenate([oldest, self.times]),
        )

    def inputs(self, clock: Clock) -> dict[str, NDArray[np.generic]]:
        """Named inputs of `user_encoder.onnx`, batch of one, never empty: no history is one masked row."""
        length, width = self.vectors.shape
        if length == 0:
            return {
                "vectors": np.zeros((1, 1, width), dtype=np.float32),
                "events": np.zeros((1, 1), dtype=np.int64),
                "gaps": np.zeros((1, 1), dtype=np.int64),
                "hours": np.zeros((1, 1), dtype=np.int64),
                "mask": np.zeros((1, 1), dtype=np.float32),
            }
        return {
            "vectors": np.ascontiguousarray(self.vectors[None], dtype=np.float32),
            "events": self.events[None],
            "gaps": gap_buckets(self.times)[None],
            "hours": clock.bucket(self.times, "hour")[None],
            "mask": np.ones((1, length), dtype=np.float32),
        }
