"""Who answers whom: the stable version, or to a share of the users, always the same ones, the canary."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from app.labels import Label, lot
from app.model import Model
from app.question import Ask
from app.ranker import Answer

Asked = tuple[Model, Ask]


@dataclass(frozen=True)
class Choice:
    """As it is at a moment: a request takes it once and keeps it to its end."""

    stable: Model
    canary: Model | None = None
    share: float = 0.0

    def of(self, who: str) -> tuple[Label, Model]:
        """The version that answers somebody."""
        if self.canary is not None and lot(self.stable.manifest.name, who) < self.share:
            return "canary", self.canary
        return "stable", self.stable


async def each(
    asked: Sequence[Asked], answer: Callable[[Model, list[Ask]], Awaitable[list[Answer]]]
) -> list[Answer]:
    """Answers in order, each by its own version; all that one version is asked in one run."""
    found: dict[int, Answer] = {}
    for model in {id(model): model for model, _ in asked}.values():
        numbers = [number for number, (other, _) in enumerate(asked) if other is model]
        answers = await answer(model, [asked[number][1] for number in numbers])
        found |= zip(numbers, answers, strict=True)
    return [found[number] for number in range(len(asked))]
