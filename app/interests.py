"""What users are interested in: the answers of the tasks that read a user's vector alone."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from app.errors import ModelFailure
from app.outcome import Form
from app.question import Ask, Known, Ranking
from app.ranker import Answer
from model_store.engine import Engine


class Interests:
    """Of one bundle, which may have no such task."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._form = Form(engine.manifest.user_tasks)

    def added(self, answers: Sequence[Answer], asks: Sequence[Ask], known: Sequence[Known]) -> list[Answer]:
        """The answers, each with what its user is interested in; not where an ask names nobody, or failed."""
        if not self._form.tasks or not answers:
            return list(answers)
        outputs = self._engine.interests(np.stack([one.user for one in known]))
        try:
            told = self._form.served(outputs, list(self._form.tasks), {})
        except ModelFailure as error:
            return [error] * len(answers)
        return [
            replace(answer, interests=each) if isinstance(answer, Ranking) and _somebody(ask) else answer
            for answer, ask, each in zip(answers, asks, told, strict=True)
        ]


def _somebody(ask: Ask) -> bool:
    return ask.user_id is not None or ask.history is not None
