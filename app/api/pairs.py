"""Pairs of a user and an item: those of the same user, query and moment are one ask, each item a list of its own."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import Field, model_validator

from app.api import ask as asks
from app.api.batch import failed
from app.api.schema import (
    MAX_HISTORY,
    ColdItem,
    Context,
    Each,
    FusionChoice,
    HistoryEvent,
    Id,
    Query,
    Record,
    Strict,
    Time,
    Words,
)
from app.breaks import Breaks
from app.candidates import Candidates, Described
from app.choice import Asked, each
from app.errors import Invalid, ServiceError
from app.metrics import Stages
from app.model import Model
from app.question import Ask

Choose = Callable[[str | None], Model]  # who answers a user, or nobody


class Pair(ColdItem):
    """A user, named or described by a history, and an item, by id or with its text."""

    user_id: Id | None = None
    history: Annotated[Each[HistoryEvent], Field(max_length=MAX_HISTORY)] | None = None
    profile: Record | None = None
    query: Query | None = None
    timestamp: Time | None = Field(
        None, description="The moment of this pair; that of the context if left out."
    )

    @model_validator(mode="after")
    def _someone(self) -> "Pair":
        if self.user_id is None and self.history is None and self.query is None:
            raise ValueError("names nobody and asks nothing; give user_id, history or query")
        return self


class ScoreRequest(Strict):
    """Pairs, texts or both. Each pair is a list of its own: features of lists compare it with itself."""

    pairs: Each[Pair] = Field(default_factory=list)
    texts: Each[Words] = Field(default_factory=list, description="For the tasks that read a text alone.")
    context: Context | None = None
    fusion: FusionChoice | None = None


@dataclass(frozen=True)
class Group:
    """An ask of a version, and the numbers of the pairs that it answers, a candidate each."""

    model: Model
    ask: Ask
    numbers: list[int] = field(default_factory=list)
    candidates: list[str | Described] = field(default_factory=list)

    @property
    def asked(self) -> Asked:
        """All pairs at once; an id may be asked for twice."""
        if isinstance(self.candidates[0], Described):
            return self.model, replace(self.ask, candidates=Candidates.of(self.candidates))
        return self.model, replace(self.ask, candidates=Candidates(tuple(map(str, self.candidates))))

    def alone(self) -> "list[Group]":
        """Each pair by itself."""
        pairs = zip(self.numbers, self.candidates, strict=True)
        return [Group(self.model, self.ask, [number], [candidate]) for number, candidate in pairs]


async def scored(
    pairs: list[Pair | Invalid], given: ScoreRequest, choose: Choose, stages: Stages
) -> tuple[Model, list[dict[str, Any]], list[str]]:
    """The version of the first pair; a result for each, which names another version; and what was done without.

    From one run of the use case for all that a version answers. Pairs are taken out and let go of one by one: to free
    all that thousands of events take is no short work either.
    """
    first, number = next((pair.user_id for pair in pairs if isinstance(pair, Pair)), None), len(pairs)
    model, breaks = choose(first), Breaks()
    groups, found = await _grouped(pairs, given, choose)
    without: set[str] = set()
    while groups:
        again: list[Group] = []
        asked = [group.asked for group in groups]
        answers = await each(asked, lambda model, some: model.recommender.score(some, stages))
        for group, answer in zip(groups, answers, strict=True):
            await breaks.rest()
            if not isinstance(answer, ServiceError):
                without.update(answer.degraded)
                head = {"status": 200} | ({} if group.model is model else {"model": told(group.model)})
                found |= {
                    number: head | item.body()
                    for number, item in zip(group.numbers, answer.items, strict=True)
                }
            elif len(group.numbers) > 1:  # a pair fails alone
                again += group.alone()
            else:
                found[group.numbers[0]] = failed(answer)
        groups = again
    return model, [found[each] for each in range(number)], sorted(without)


def told(model: Model) -> dict[str, Any]:
    """What an answer says of who gave it."""
    return {"name": model.manifest.name, "version": model.manifest.version}


async def _grouped(
    pairs: list[Pair | Invalid], given: ScoreRequest, choose: Choose
) -> tuple[list[Group], dict[int, dict[str, Any]]]:
    """The asks, and results of the pairs that cannot be asked, by their number."""
    groups: dict[Hashable, Group] = {}
    refused: dict[int, dict[str, Any]] = {}
    breaks, now = Breaks(), asks.moment(given.context)
    pairs.reverse()
    for number in range(len(pairs)):
        await breaks.rest()
        pair = pairs.pop()
        if isinstance(pair, Invalid):
            refused[number] = failed(pair)
            continue
        model = choose(pair.user_id)
        try:
            candidate = _candidate(pair, model)
            key = _key(pair) if isinstance(candidate, str) and pair.profile is None else number
            if key not in groups:
                groups[key] = Group(model, _ask(pair, given, model, now))
            groups[key].numbers.append(number)
            groups[key].candidates.append(candidate)
        except ServiceError as error:
            refused[number] = failed(error)
    return list(groups.values()), refused


def _candidate(pair: Pair, model: Model) -> str | Described:
    candidate = asks.candidate(pair, model.manifest, model.engine.features)
    if isinstance(candidate, str) and candidate not in model.catalogue:
        raise Invalid(f"item_id: {pair.item_id!r} is not in the catalogue; give its text")
    return candidate


def _key(pair: Pair) -> Hashable:
    """Equal for pairs of the same user, query and moment."""
    events = pair.history
    told = None if events is None else tuple((each.item_id, each.event, each.timestamp) for each in events)
    return pair.user_id, pair.query, pair.timestamp, told


def _ask(pair: Pair, given: ScoreRequest, model: Model, now: float) -> Ask:
    manifest, features = model.manifest, model.engine.features
    return Ask(
        now=now if pair.timestamp is None else pair.timestamp.timestamp(),
        fusion=asks.fusion(given.fusion, model.fusion, manifest),
        user_id=pair.user_id,
        history=asks.history(pair.history, manifest),
        profile=asks.profile(pair.profile, manifest),
        query=pair.query,
        words=asks.words(given.context, features),
    )
