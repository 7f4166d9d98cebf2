"""A version that is asked what another one has just answered, to learn how far its answers would differ.

    answered ── GAP ──► does nobody wait? ── yes ──► ask the shadow ──► compare ──► rest
                                 └─ no: dropped           one at a time

It begins when the answer has left, so it can neither change nor fail it. Others would have to wait for what it takes
of the event loop: so it begins only while nothing else is under way, and rests two hundred times as long as it took.
One of a hundred requests meets it at most, whatever its share is.
"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import replace

from app.api.ask import ask
from app.api.schema import RecommendRequest
from app.errors import ServiceError
from app.metrics import Metrics, Stages
from app.model import Model
from app.outcome import SCORE, Ranked
from app.question import Ask, Ranking
from app.settings import Settings

log = logging.getLogger(__name__)

GAP = 0.001  # seconds after an answer: by then it has left, and who came meanwhile is seen
SPARE = 0.005  # of the time
LONGEST = 5.0  # seconds of one rest


class Shadow:
    """One version's comparisons, on a share of the requests at most. Event loop only."""

    def __init__(self, model: Model, share: float, settings: Settings, metrics: Metrics) -> None:
        self._model = model
        self._share = share
        self._settings = settings
        self._metrics = metrics
        self._ranges = {
            task.name: (task.high - task.low) or 1.0 for task in model.manifest.answered if task.scalar
        }
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def offer(self, given: RecommendRequest, asked: Ask, answered: Ranking) -> None:
        """A request that is being answered; taken only if there is time for it."""
        if random.random() >= self._share:  # noqa: S311
            return
        if self._timer or self._task:
            self._count("dropped")
            return
        self._timer = asyncio.get_running_loop().call_later(GAP, self._begin, given, asked, answered)

    def close(self) -> None:
        """Compare no more."""
        for each in (self._timer, self._task):
            if each:
                each.cancel()

    def _begin(self, given: RecommendRequest, asked: Ask, answered: Ranking) -> None:
        self._timer = None
        if self._metrics.in_progress.value:
            self._count("dropped")
        else:
            self._task = asyncio.create_task(self._compare(given, asked, answered))

    async def _compare(self, given: RecommendRequest, asked: Ask, answered: Ranking) -> None:
        start = time.perf_counter()
        try:
            told = await self._answer(given, asked)
        except Exception as error:  # noqa: BLE001 whatever it is: nobody waits for it
            log.warning("the shadow %s failed: %s", self._model.name, type(error).__name__)
            self._count("failed")
        else:
            self._metrics.shadow_duration.observe(time.perf_counter() - start)
            self._tell(_by_id(answered), _by_id(told))
            self._count("compared")
        took = time.perf_counter() - start
        self._task = None
        rest = min(LONGEST, took * (1.0 / SPARE - 1.0))
        self._timer = asyncio.get_running_loop().call_later(rest, self._rested)

    def _rested(self) -> None:
        self._timer = None

    async def _answer(self, given: RecommendRequest, asked: Ask) -> Ranking:
        """What this version answers to the same at the same moment."""
        same = replace(ask(given, self._model, self._settings), now=asked.now)
        [answer] = await self._model.recommender.rank([same], Stages(self._metrics))
        if isinstance(answer, ServiceError):
            raise answer
        return answer

    def _tell(self, one: Mapping[str, Ranked], other: Mapping[str, Ranked]) -> None:
        """How far two answers differ."""
        both = [(one[item], other[item]) for item in one.keys() & other.keys()]
        if one or other:
            self._metrics.shadow_overlap.observe(len(both) / max(len(one), len(other)))
        if both:
            self._differ(SCORE, [(mine.score, its.score) for mine, its in both], 1.0)
            for name, reach in self._ranges.items():
                if name in both[0][0].tasks:
                    self._differ(name, [(mine.tasks[name], its.tasks[name]) for mine, its in both], reach)

    def _differ(self, name: str, values: list[tuple[float, float]], reach: float) -> None:
        far = sum(abs(mine - its) for mine, its in values) / len(values) / reach
        self._metrics.shadow_difference.labels(name).observe(far)

    def _count(self, result: str) -> None:
        self._metrics.shadow.labels(result).inc()


def _by_id(answer: Ranking) -> dict[str, Ranked]:
    return {item.item_id: item for item in answer.items}
