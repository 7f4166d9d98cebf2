"""What the rows and columns of a network's weights are about, by name: a later network may have others.

first     of the layer that reads user, query, item and context: units of experts, then gates
level     of what is shared in a level above that: the same, without the gate in the last
context   columns of the features
items     of the catalogue, where something is learned of each
events    kinds of events in histories, the profile first
classes of a task: its classes or quantiles, or its one number
"""

from collections.abc import Iterator, Mapping, Sequence

from model_store.features import FeatureSet
from model_store.listwise import FORMS
from model_store.manifest import Task
from model_store.names import KINDS, Name
from training.dataset import Dataset
from training.model.network import Network
from training.model.towers import Towers

Names = Mapping[str, Sequence[str]]
BLOCKS = ("user", "query", "item", "item_item", "user_item", "query_item", "context", "no_user", "no_query")


def names(network: Network, dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """Each axis that has names, and these in order."""
    features = FeatureSet(dataset.features, dataset.clock)
    return {
        "first": tuple(_first(network.heads.mix)),
        "level": tuple(_level(network.heads.mix)),
        "context": tuple(_columns(features)),
        "items": dataset.item_ids,
        "events": ("", *dataset.config.history.events),
        **{f"classes of {task.name}": _classes(task) for task in dataset.tasks},
    }


def axes(name: str, dimensions: int) -> tuple[str, ...]:
    """What each axis of a weight is about, by the weight's name in the network's state; "" for one without names."""
    module, *rest = name.split(".")
    found: tuple[str, ...] = ()
    if module == "heads":
        found = _of_heads(rest)
    elif module in ("text_heads", "user_heads"):
        found = (f"classes of {rest[1]}",)
    elif module in ("residual", "factors"):
        found = ("items",)
    elif (module, rest[0]) in (("user", "event"), ("user", "weight")) or name == "user.past.grade":
        found = ("events",)
    return (*found, "", "")[:dimensions]


def _of_heads(rest: Sequence[str]) -> tuple[str, ...]:
    if rest[0] in BLOCKS:
        return ("first", "context" if rest[0] == "context" else "")
    if rest[0] in ("mean", "spread"):
        return ("context",)
    if rest[:2] == ["now", "0"]:
        return ("", "context")
    if rest[:2] == ["mix", "levels"] and rest[3] == "shared":
        return ("level",)
    last = {"told": rest[1:2], "mix": rest[2:3] if rest[1:2] == ["towers"] and rest[3] == "4" else []}
    return tuple(f"classes of {task}" for task in last.get(rest[0], []))


def _first(mix: Towers) -> Iterator[str]:
    experts = list(_experts(mix))
    for expert in experts:
        yield from (f"{expert} unit {unit}" for unit in range(mix.hidden))
    if mix.gated:
        for task in mix.names:
            yield from (f"gate of {task}: {experts[place]}" for place in mix.seen[task])
    if mix.levels:
        yield from (f"gate of what is shared: {expert}" for expert in experts)


def _level(mix: Towers) -> Iterator[str]:
    """Of what is shared in a level above; the last has no gate."""
    yield from (f"{number} unit {unit}" for number in range(mix.shared) for unit in range(mix.hidden))
    yield from (f"gate: {expert}" for expert in _experts(mix))


def _experts(mix: Towers) -> Iterator[str]:
    yield from (f"shared {number}" for number in range(mix.shared))
    for task in mix.names:
        yield from (f"{task} {number}" for number in range(mix.choices - mix.shared))


def _columns(features: FeatureSet) -> Iterator[str]:
    for name in features.names:
        for value in _values(name, features):
            yield from (f"{name.written} {value} {form}" for form in (FORMS if name.listed else ("",)))
        if name.optional:
            yield f"{name.written} missing"


def _values(name: Name, features: FeatureSet) -> list[str]:
    if name.kind == "context":
        return ["other", *(f"= {word}" for word in features.words[name.argument])]
    if name.kind == "is":
        return ["other", *(f"= {value}" for value in features.kinds[name.argument])]
    if name.kind in ("count", "rate"):
        return [each.name for each in features.layout.windows if name.window in ("", each.name)]
    return [str(number) for number in range(KINDS[name.kind])]


def _classes(task: Task) -> tuple[str, ...]:
    return task.classes or task.levels or ("",)
