"""From a folder on the shelf to a model that may answer: what a start does, and what a new version must pass."""

import logging
import time
from contextlib import ExitStack

from app import golden, handover, heap, model, warmup
from app.link import Link
from app.metrics import Metrics
from app.model import Model
from app.pace import Pace
from app.settings import Settings
from model_store.errors import ChorusError

log = logging.getLogger(__name__)


async def load(
    settings: Settings, link: Link, metrics: Metrics, pace: Pace, *, served: Model | None = None
) -> Model:
    """The version that the settings name: verified, warmed up, in step with the items put at runtime.

    served: the one whose place it is to take. Raises ChorusError, whatever a foreign bundle does to a library.
    """
    start = time.perf_counter()
    heap.bound()
    try:
        opened = await _checked(settings, link, metrics, pace, served=served)
    except ChorusError as error:
        _count(error, metrics)
        raise
    except Exception as error:  # a foreign bundle may do anything to a library; the service says so
        log.exception("the model could not be opened")
        _count(error, metrics)
        raise ChorusError(f"the model could not be opened: {error}") from error
    metrics.loads.labels("ready").inc()
    metrics.load_seconds.set(time.perf_counter() - start)
    return opened


async def _checked(
    settings: Settings, link: Link, metrics: Metrics, pace: Pace, *, served: Model | None
) -> Model:
    opened = await model.build(settings, link, metrics, pace, served=served)
    with ExitStack() as undo:
        undo.callback(opened.close)
        await golden.check(opened, settings, metrics, pace)
        await warmup.run(opened, settings, metrics, pace)
        await opened.changes.start(pace)  # only now: golden requests are answered by the bundle alone
        if served is not None:
            await handover.run(served, opened, metrics, pace)
        undo.pop_all()
    return opened


def _count(error: Exception, metrics: Metrics) -> None:
    metrics.loads.labels("refused").inc()
    metrics.refused.labels(type(error).__name__).inc()
