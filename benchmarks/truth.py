"""Did the model find what the demo shop hides? Asked of the served bundle, user by user.

    python -m benchmarks.truth

The generator knows each shopper's tastes and what they want at which part of the day; the model saw only the log.
"""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.record import RESULTS, git
from model_store.engine import Engine
from model_store.features import Moment, profile, shares
from model_store.history import History
from model_store.shelf import Shelf

DAY = datetime(2025, 10, 6, tzinfo=UTC).timestamp()  # the day after the log ends
HISTORIES = Path("runs/shop/histories.jsonl.gz")


def main() -> None:
    """Print and write the shares of users for whom the model is right."""
    shoppers = Shoppers()
    liked, at_hand = [], []
    for user in shoppers.known:
        evening, morning = (shoppers.scores(user, hour) for hour in (20, 8))
        for part, hour in (("evening", evening), ("morning", morning)):
            wanted = shoppers.of(shoppers.truth["users"][user]["wants"].get(part, []))
            if len(wanted):
                other = morning if part == "evening" else evening
                at_hand.append(hour[wanted].mean() > other[wanted].mean())
        likes, dislikes = (shoppers.of(shoppers.truth["users"][user][kind]) for kind in ("liked", "disliked"))
        new, old = likes[shoppers.new[likes]], dislikes[~shoppers.new[dislikes]]
        if len(new) and len(old):
            liked.append((evening[new][:, None] > evening[old][None]).mean())
    record = {
        "users": len(shoppers.known),
        "wanted at this part of the day scores higher then than at the other (share of users and parts)": float(
            np.mean(at_hand)
        ),
        "new item of a liked category above an old one of a disliked (share of pairs)": float(np.mean(liked)),
        "bundle": shoppers.engine.manifest.fingerprint[:16],
        "commit": git("rev-parse", "--short", "HEAD"),
    }
    text = json.dumps(record, indent=1)
    (RESULTS / "truth.json").write_text(text + "\n")
    typer.echo(text)


class Shoppers:
    """The bundle's catalogue and the users' histories beside the truth."""

    def __init__(self) -> None:
        bundle = Shelf().open("shop")
        self.engine, self.items = Engine(bundle, "cpu"), bundle.items
        self.truth = json.loads(Path("data/shop/truth.json").read_bytes())
        with gzip.open(HISTORIES, "rt") as file:
            records = [json.loads(line) for line in file]
        self.records = {record["user_id"]: record for record in records}
        self.known = [user for user, record in self.records.items() if len(record["events"]) >= 10]
        self.new = self.items.published > DAY - 14 * 86_400
        category = self.items.attributes["category"]
        self._category = np.array([category.values[code] for code in category.codes[:, 0]])

    def of(self, categories: list[str]) -> NDArray[np.int64]:
        """Rows of the items of some categories."""
        return np.flatnonzero(np.isin(self._category, categories))

    def scores(self, user: str, hour: int) -> NDArray[np.float32]:
        """Click probability of every item at an hour of the day."""
        engine, items = self.engine, self.items
        events = [event for event in self.records[user]["events"] if event["item_id"] in items.rows]
        rows = np.array([items.rows[event["item_id"]] for event in events])
        kinds = np.array([engine.manifest.events.index(event["event"]) for event in events])
        times = np.array([datetime.fromisoformat(event["timestamp"]).timestamp() for event in events])
        vector = engine.user(History(items.vectors[rows], kinds, times))
        taste = {
            name: shares(profile(items.attributes[name].codes[rows], len(items.attributes[name].values)),
                         items.attributes[name].codes)
            for name in engine.features.attributes
        }  # fmt: skip
        now = np.array([DAY + 3600.0 * hour])
        moment = Moment(now, items.published, times[-1:], np.array([float(len(rows))]), taste)
        found = engine.heads(vector, None, items.vectors, engine.features.matrix(moment))
        return found["click"][:, 0]


if __name__ == "__main__":
    typer.run(main)
