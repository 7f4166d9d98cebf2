"""Requests as the use case wants them: checked against what the served bundle knows."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from app.api.body import check_size
from app.api.schema import ColdItem, Context, FusionChoice, HistoryEvent, RecommendRequest, Record, Word
from app.candidates import Candidates, Described, plain
from app.choice import Asked
from app.errors import Invalid
from app.model import Model
from app.question import Ask
from app.settings import Settings
from app.stored import Record as Stored
from model_store.features import FeatureSet
from model_store.fusion import Fusion
from model_store.manifest import Manifest
from model_store.text import render


def ask(given: RecommendRequest, model: Model, settings: Settings) -> Ask:
    """The request as the use case wants it; Invalid or TooLarge if the bundle or the limits forbid it."""
    manifest, features = model.manifest, model.engine.features
    allowed = dict(given.filters)
    exclude = frozenset(allowed.pop("exclude", ()))
    check_size("candidates", len(given.candidates or ()), settings.max_candidates)
    return Ask(
        now=moment(given.context),
        fusion=fusion(given.fusion, model.fusion, manifest),
        user_id=given.user_id,
        history=history(given.history, manifest),
        profile=profile(given.profile, manifest),
        query=given.query,
        candidates=candidates(given.candidates, manifest, features),
        k=given.k,
        filters=filters(allowed, manifest),
        exclude=exclude,
        exclude_seen=given.exclude_seen,
        explain=given.explain,
        words=words(given.context, features),
    )


def size(asked: Iterable[Asked], settings: Settings) -> int:
    """Candidates that are asked for: those given, or as many as are retrieved at most."""
    return sum(
        max(settings.retrieve, ask.k) if ask.candidates is None else len(ask.candidates.ids)
        for _, ask in asked
    )


def moment(context: Context | None) -> float:
    """The moment of a request: the one that it names, else now."""
    given = context.timestamp if context else None
    return time.time() if given is None else given.timestamp()


def words(context: Context | None, features: FeatureSet) -> dict[str, int]:
    """Place of the request's word among the known ones of each column that the features read, -1 for another."""
    given = context.words if context else {}
    if given:
        check_names(given, ["timestamp", *dict.fromkeys(["device", *features.words])], "context")
    return {column: _place(known, given.get(column)) for column, known in features.words.items()}


def fusion(choice: FusionChoice | None, default: Fusion, manifest: Manifest) -> Fusion:
    """The fusion asked for; Invalid if a weighted task is unknown, has no single number, or none counts."""
    if choice is None:
        return default
    scalar = [task.name for task in manifest.answered if task.scalar]
    for name in choice.weights or ():
        if name not in scalar:
            raise Invalid(f"fusion.weights.{name}: is no task with one number; use {_some(scalar)}")
    weights = default.weights if choice.weights is None else choice.weights
    if not any(weight > 0.0 for weight in weights.values()):
        raise Invalid(f"fusion.weights: give at least one of {_some(scalar)} a weight above 0")
    return Fusion(choice.method or default.method, dict(weights))


def history(
    events: Sequence[HistoryEvent] | None, manifest: Manifest, path: str = "history"
) -> tuple[Stored, ...] | None:
    """An inline history; Invalid if an event is not one of the bundle's."""
    if events is None:
        return None
    for number, event in enumerate(events):
        check_event(event.event, manifest, f"{path}[{number}].event")
    return tuple((event.item_id, event.event, event.timestamp.timestamp()) for event in events)


def check_event(event: str, manifest: Manifest, path: str) -> None:
    """Refuse an event that the bundle's histories do not hold."""
    check_name(event, manifest.events[1:], path)


def check_name(event: str, known: Sequence[str], path: str) -> None:
    """Refuse an event that is none of the known ones."""
    if event not in known:
        raise Invalid(f"{path}: {event!r} is no event of this model; use {_some(known)}")


def profile(record: Record | None, manifest: Manifest) -> str | None:
    """The text of an inline profile; None if there is none."""
    if record is None:
        return None
    known = [field.name for field in manifest.profile_text]
    check_names(record, known, "profile")
    return render(manifest.profile_text, record)


def candidates(
    given: Sequence[str | ColdItem] | None, manifest: Manifest, features: FeatureSet
) -> Candidates | None:
    """Items by id or as described; None: retrieve them."""
    if given is None:
        return None
    if plain(given):
        return Candidates(tuple(dict.fromkeys(given)))
    return Candidates.of(
        each if isinstance(each, str) else candidate(each, manifest, features, f"candidates[{number}].")
        for number, each in enumerate(given)
    )


def candidate(given: ColdItem, manifest: Manifest, features: FeatureSet, path: str = "") -> str | Described:
    """An item as described, or by its id if it has no text; `path` is put before the name of a wrong field."""
    check_names(given.text, [field.name for field in manifest.item_text], f"{path}text")
    check_names(given.attributes, manifest.attributes, f"{path}attributes")
    check_names(given.numbers, features.numbers, f"{path}numbers")
    text = render(manifest.item_text, given.text)
    if not text:
        return given.item_id
    return Described(
        item_id=given.item_id,
        text=text,
        attributes={name: tuple(values) for name, values in given.attributes.items()},
        published=_seconds(given.published),
        numbers=given.numbers,
    )


def filters(wanted: Mapping[str, Iterable[str]], manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """Allowed values by attribute, in one order whatever the order given."""
    check_names(wanted, manifest.attributes, "filters")
    return {name: tuple(sorted(set(values))) for name, values in wanted.items()}


def check_names(given: Iterable[str], known: Iterable[str], path: str) -> None:
    """Refuse a name that is none of the known ones."""
    for name in given:
        if name not in known:
            raise Invalid(f"{path}.{name}: is unknown to this model; use {_some(known)}")


def _place(known: Sequence[str], word: Word | None) -> int:
    told = None if word is None else spelled(word)
    return known.index(told) if told in known else -1


def spelled(word: Word) -> str:
    """A word as the tables of training have it: true for a boolean, 2 for 2.0."""
    if isinstance(word, bool):
        return str(word).lower()
    whole = isinstance(word, float) and word.is_integer()
    return str(int(word)) if whole else str(word).strip()


def _seconds(given: datetime | None) -> float:
    return math.nan if given is None else given.timestamp()


def _some(names: Iterable[str]) -> str:
    return ", ".join(names) or "none: this model has none"
