"""Before a version takes another's place: it has at hand what the other has, of texts, users and items.

Else all who come in its first second would wait for vectors at once. What was asked for last comes first; there is a
time after which the rest is left to the requests.
"""

import time
from collections.abc import Iterator, Sequence
from math import inf

from app.candidates import Candidates
from app.metrics import Metrics, Stages
from app.model import Model
from app.pace import Pace
from app.question import Ask

SECONDS = 20.0
USERS, ITEMS = 4, 100  # of one step: less than a millisecond of the event loop


async def run(served: Model, opened: Model, metrics: Metrics, pace: Pace) -> None:
    """Ask the one that is to serve for what the one that serves was asked for."""
    end = time.monotonic() + SECONDS
    for asks in _asks(served, opened):
        await opened.recommender.learn(asks, Stages(metrics))
        await pace.rest()
        if time.monotonic() > end:
            return
    for items in _cut(served.state.items, ITEMS):
        await opened.state.fetch(items=items)
        await pace.rest()
        if time.monotonic() > end:
            return


def _asks(served: Model, opened: Model) -> Iterator[Sequence[Ask]]:
    """For a text, or for a few users as they are after all that they have done."""
    none, fusion = Candidates(()), opened.fusion
    for text in served.recommender.recent:
        yield [Ask(now=inf, fusion=fusion, history=(), query=text, candidates=none)]
    for users in _cut(served.state.users, USERS):
        yield [Ask(now=inf, fusion=fusion, user_id=user, candidates=none) for user in users]


def _cut(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]
