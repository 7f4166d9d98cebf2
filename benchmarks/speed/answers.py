"""Whether everybody answers the same: the same 20 items with the same scores, or nothing is measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.speed.rig import Served

TOLERANCE = 1e-4
SAMPLES = 10

Items = list[dict[str, Any]]


def ask(served: Served, bodies: Sequence[Mapping[str, Any]]) -> list[Items]:
    """The items of each answer; ends the benchmark if one was made without Redis."""
    answers = [served.post("/recommend", body).json() for body in bodies[:SAMPLES]]
    if any(answer.get("degraded") for answer in answers):
        raise SystemExit(f"{served.contender.label} answered without Redis; is the machine overloaded?")
    return [answer["items"] for answer in answers]


def compare(
    name: str, found: Mapping[int, Sequence[Items]], expected: Mapping[int, Sequence[Items]]
) -> float:
    """The greatest difference of a score, over all sizes; ends the benchmark if it is too great."""
    worst = 0.0
    for size, answers in expected.items():
        for mine, theirs in zip(found[size], answers, strict=True):
            apart = difference(mine, theirs)
            if apart > TOLERANCE:
                raise SystemExit(
                    f"{name} answers otherwise, by {apart:.2g}, of {size} candidates: {mine[:2]} for {theirs[:2]}"
                )
            worst = max(worst, apart)
    return worst


def difference(mine: Items, theirs: Items) -> float:
    """The greatest difference of a score or of a task's value, 1 where an item stands in one answer alone.

    Items that score like the last one may take its place.
    """
    if len(mine) != len(theirs):
        return 1.0
    if not mine:
        return 0.0
    worst = max(abs(one["score"] - other["score"]) for one, other in zip(mine, theirs, strict=True))
    ours, others = ({item["item_id"]: item for item in items} for items in (mine, theirs))
    least = theirs[-1]["score"]
    for item_id in ours.keys() ^ others.keys():
        alone = ours.get(item_id) or others[item_id]
        worst = max(worst, 1.0 if alone["score"] - least > TOLERANCE else 0.0)
    for item_id in ours.keys() & others.keys():
        tasks = others[item_id]["tasks"]
        worst = max([worst, *(abs(ours[item_id]["tasks"][name] - value) for name, value in tasks.items())])
    return worst
