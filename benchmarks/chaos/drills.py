"""All drills, in the order in which they are run."""

from collections.abc import Mapping

from benchmarks.chaos import away, canary, ends, flood, fuzz, keys, late, swap
from benchmarks.chaos.drill import Drill

DRILLS: Mapping[str, Drill] = {
    "flood": flood, "away": away, "swap": swap, "canary": canary, "ends": ends, "late": late, "keys": keys,
    "fuzz": fuzz,
}  # fmt: skip
