"""The TOML: what is read, and what each mistake is answered with."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.training import toy
from training import config
from training.errors import ConfigError
from training.sections import RATES, Section
from training.task import TaskConfig

GOOD: dict[str, Any] = {
    "name": "shop",
    "items": {"path": "items.csv", "text": ["title"], "attributes": ["brand"]},
    "events": {"path": ["a.csv", "b.csv"], "user": "user_id", "timestamp": "at", "query": "query"},
    "history": {"events": {"click": "clicked"}},
    "tasks": {"click": {"type": "binary", "label": "clicked"}},
}


def changed(*path: str, to: Any) -> dict[str, Any]:
    """GOOD with one value set, or removed where it is None."""
    record = {key: dict(value) if isinstance(value, dict) else value for key, value in GOOD.items()}
    place: Any = record
    for key in path[:-1]:
        place[key] = dict(place.get(key, {}))
        place = place[key]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return record


def test_a_minimal_file_has_defaults_and_paths_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(
        'name = "shop"\n[items]\npath = "items.csv"\ntext = ["title"]\n'
        '[events]\npath = "events.csv"\nuser = "user_id"\ntimestamp = "at"\n'
        '[tasks.click]\ntype = "binary"\nlabel = "clicked"\n'
    )
    read = config.read(path)
    assert read.paths(read.items.path) == [tmp_path / "items.csv"]
    assert (read.items.id, read.events.item, read.history.limit) == ("item_id", "item_id", 50)
    assert (read.split.by, read.split.validation, read.split.test) == ("time", 0.1, 0.1)


def test_one_path_or_several_are_several_paths() -> None:
    assert config.parse(GOOD, Path("x.toml")).events.path == ("a.csv", "b.csv")
    assert config.parse(GOOD, Path("x.toml")).items.path == ("items.csv",)


def test_a_role_that_is_not_named_is_absent() -> None:
    record = changed("events", to={"path": "e.csv", "query": "query"}) | {
        "split": {"by": "query"},
        "history": {},
    }
    events = config.parse(record, Path("x.toml")).events
    assert (events.user, events.timestamp, events.impression) == (None, None, None)


def test_a_configuration_does_not_change() -> None:
    read = config.parse(GOOD, Path("x.toml"))
    with pytest.raises(ValueError, match="frozen"):
        read.name = "other"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (changed("name", to=None), "name: Field required"),
        (changed("name", to="My Shop"), "name: String should match"),
        (changed("items", to=None), "items: Field required"),
        (changed("items", "text", to=[]), "items.text: Tuple should have at least 1 item"),
        (changed("items", "colour", to="red"), "items.colour: unknown key; remove it or see docs/data.md"),
        (changed("tasks", to={}), "tasks: Dictionary should have at least 1 item"),
        (changed("tasks", "click", "type", to="ordinal"), "tasks.click.type: Input should be 'binary'"),
        (changed("tasks", "my click", to={"type": "binary", "label": "c"}), "tasks.my click: not a usable name"),
        (changed("tasks", "user", to={"type": "binary", "label": "c"}), "tasks.user: not a usable name"),
        (changed("tasks", to={"brand": {"type": "multiclass", "inputs": "item", "label": "brand"}}),
         "tasks: at least one must score a user or query with an item"),
        (changed("tasks", "t", to={"type": "multiclass", "inputs": "item", "label": "title"}),
         "tasks.t: predicts items column 'title', which items.text shows"),
        (changed("tasks", "t", to={"type": "binary", "label": "x", "transform": "log1p"}),
         "tasks.t: transform is for regression and quantile tasks only"),
        (changed("tasks", "t", to={"type": "regression", "label": "x", "quantiles": [0.5]}),
         'tasks.t: quantiles are for type = "quantile" only'),
        (changed("tasks", "t", to={"type": "quantile", "inputs": "item", "label": "x"}),
         'tasks.t: a quantile task needs inputs = "pair"'),
        (changed("tasks", "t", to={"type": "quantile", "label": "x", "quantiles": [0.9, 0.1]}),
         "tasks.t: quantiles must ascend"),
        (changed("tasks", "t", to={"type": "quantile", "label": "x", "quantiles": [0.5, 0.5]}),
         "tasks.t: quantiles must ascend"),
        (changed("tasks", "t", to={"type": "quantile", "label": "x", "quantiles": [0.5, 1.0]}),
         "tasks.t.quantiles.1: Input should be less than 1"),
        (changed("tasks", "t", to={"type": "quantile", "label": "x", "quantiles": []}),
         "tasks.t.quantiles: Tuple should have at least 1 item"),
        (changed("tasks", "t", to={"type": "quantile", "label": "x", "loss": "mae"}),
         'tasks.t: loss = "mae" is for type = "regression"'),
        (changed("tasks", "t", to={"type": "regression", "label": "x", "loss": "focal"}),
         'tasks.t: loss = "focal" is for type = "binary"'),
        (changed("tasks", "t", to={"type": "regression", "label": "x", "loss": "ordinal"}),
         'tasks.t: loss = "ordinal" and grades'),
        (changed("tasks", "t", to={"type": "regression", "label": "x", "loss": "ordinal", "grades": [2, 1]}),
         "tasks.t: grades must be two at least and ascend"),
        (changed("retrieval", to={"task": "dwell"}), "retrieval.task: 'dwell' is no binary task"),
        (changed("tasks", "t", to={"type": "quantile", "label": "x", "given": "click"}),
         "tasks.t: given is for binary and regression tasks"),
        (changed("tasks", "t", to={"type": "binary", "label": "x", "given": "clack"}),
         "tasks.t: given = 'clack' is no other binary task that scores an item"),
        (changed("tasks", "t", to={"type": "binary", "label": "x", "inputs": "user_item", "given": "click"}),
         "tasks.t: given = 'click' has other inputs, or a given of its own"),
        (changed("tasks", "t", to={"type": "regression", "label": "x", "given": "t"}),
         "tasks.t: given = 't' is no other binary task"),
        (changed("tasks", "t", to={"type": "multilabel", "label": "x", "inputs": "user"}),
         "tasks.t: inputs = \"user\" needs type = \"multilabel\", and given"),
        (changed("tasks", "t", to={"type": "multilabel", "label": "x", "inputs": "user", "given": "click"}),
         "tasks.t: label = 'x' is not in items.attributes"),
        (changed("tasks", to={"t": {"type": "quantile", "label": "x"}}),
         "tasks: at least one must score a user or query with an item"),
        (changed("tasks", "t", to={"type": "multilabel", "label": "x"}), "tasks.t: a multilabel task needs"),
        (changed("tasks", "t", to={"type": "binary", "inputs": "text", "label": "x"}), "t: inputs = .text. and"),
        (changed("tasks", "t", to={"type": "binary", "label": "at", "clock": "hour"}), "tasks.t: a clock task needs"),
        (changed("tasks", "t", to={"type": "multiclass", "inputs": "user_item", "label": "x", "clock": "hour"}),
         "tasks.t: a clock task's label is the timestamp column"),
        (changed("tasks", "t", to={"type": "binary", "inputs": "query_item", "label": "x"})
         | {"events": {"path": "e.csv", "user": "u", "timestamp": "at"}}, "tasks.t: .* needs events.query"),
        ({**GOOD, "history": {}, "events": {"path": "e.csv", "timestamp": "at"}},
         "tasks.click: inputs = \"pair\" needs events.user or events.query"),
        (changed("events", "user", to=None), "history.events needs events.user and events.timestamp"),
        (changed("events", "timestamp", to=None), "split.by = \"time\" needs events.timestamp"),
        ({**GOOD, "split": {"by": "query"}, "events": {"path": "e.csv", "user": "u", "timestamp": "at"}},
         "split.by = \"query\" needs events.query"),
        ({**GOOD, "split": {"validation": 0.5, "test": 0.5}}, "split: validation and test leave nothing to train on"),
        ({**GOOD, "split": {"test": 1.5}}, "split.test: Input should be less than 1"),
        ({**GOOD, "split": {"test_from": "last week"}}, "split.test_from: 'last week' is no ISO 8601 time"),
        ({**GOOD, "split": {"test_from": "2023-05-25"}}, "split.test_from: '2023-05-25' has no offset"),
        ({**GOOD, "split": {"test_from": "2023-05-25T00:00Z", "validation_from": "2023-05-26T00:00Z"}},
         "split.train_from must be before validation_from, and that before test_from"),
        ({**GOOD, "split": {"by": "query", "test_from": "2023-05-25T00:00Z"}}, "they need split.by = \"time\""),
        ({**GOOD, "features": {"use": ["share:colour"]}}, "'colour' is not in items.attributes"),
        ({**GOOD, "features": {"use": ["weather"]}}, "features.use: unknown 'weather'; there are hour"),
        ({**GOOD, "features": {"use": []}}, "features.use: at least one"),
        ({**GOOD, "features": {"timezone": "Mars/Base"}}, "features.timezone: unknown zone 'Mars/Base'"),
        ({**GOOD, "fusion": {"weights": {"buy": 1.0}}}, "fusion.weights.buy: no such task; there are: click"),
        ({**GOOD, "model": {"audience": 50}}, "model: audience adds to what is learned of items: it needs factors"),
        ({**GOOD, "model": {"levels": 2}}, 'model: levels = 2 needs sharing = "ple", or take levels = 1'),
        ({**GOOD, "model": {"sharing": "ple", "levels": 4}}, "model.levels: Input should be less than or equal to 3"),
        ({**GOOD, "fusion": {"method": "stacking"}}, 'fusion.method = "stacking" needs fusion.goal, such as'),
        ({**GOOD, "fusion": {"goal": "buy:mrr"}}, "fusion.goal: 'buy:mrr' names no binary task .* there are: click"),
        ({**GOOD, "fusion": {"goal": "click:ndcg@3"}}, "'click:ndcg@3': no such metric; click: and one of .*ndcg@5"),
        ({**GOOD, "fusion": {"goal": {"click:mrr": 0.0}}}, "fusion.goal.click:mrr: Input should be greater than 0"),
        ({**GOOD, "training": {"metric": "buy:auc"}}, "training.metric: 'buy:auc' names no task"),
        ({**GOOD, "model": {"freeze": "some"}}, "model.freeze: String should match"),
        ({**GOOD, "model": {"adapters": "lora"}},
         'model: adapters = "lora" has no layers to learn in with freeze = "all"; take freeze = "last:2"'),
        ({**GOOD, "model": {"adapters": "lora", "freeze": "none", "rank": 0}}, "model.rank: Input should be greater"),
        ({**GOOD, "model": {"adapters": "prefix"}}, "model.adapters: Input should be 'none', 'lora' or 'ia3'"),
        ({**GOOD, "training": {"optimizer": "lion"}}, "training.optimizer: Input should be 'adamw', 'adam'"),
        ({**GOOD, "training": {"schedule": "step"}}, "training.schedule: Input should be 'linear', 'cosine' or"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_by_its_key(record: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.parse(record, Path("shop.toml"))


LISTS = {"path": "e.csv", "user": "u", "timestamp": "at", "impression": "list"}
NOTHING = {"history": {}, "split": {"by": "query"}, "events": {"path": "e.csv", "query": "query"}}


def using(*use: str, **sections: Any) -> dict[str, Any]:
    return {**GOOD, "features": {"use": list(use)}, **sections}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (using("hour", "count:buy"), "features.use: count:buy: 'buy' is no event; there are click"),
        (using("rate:click/buy"), "features.use: rate:click/buy: 'buy' is no event; there are click"),
        (using("list:since:click+buy"), "features.use: list:since:click.buy: 'buy' is no event"),
        (using("count:view"), "features.use: count:view: 'view' is no event; there are click"),
        (using("count:buy", events=LISTS), "'buy' is no event; there are click, view"),
        (using("count:view", **NOTHING),
         "'view' is no event; there are none: name some in history.events, or events.impression"),
        (using("count:view", **{**NOTHING, "events": {**NOTHING["events"], "impression": "list"}}),
         "features.use: count:view: needs events.timestamp, to know what came before"),
        (using("latest:price", **{**NOTHING, "events": {**NOTHING["events"], "numbers": ["price"]}}),
         "features.use: latest:price: needs events.timestamp"),
        (using("count:click:2h"), "features.use: count:click:2h: 2h is not among the windows; add it to"),
        (using("number:price"), "features.use: number:price: 'price' is not in items.numbers"),
        (using("list:number:price"), "features.use: list:number:price: 'price' is not in items.numbers"),
        (using("latest:price"), "features.use: latest:price: 'price' is not in events.numbers"),
        (using("context:device"), "features.use: context:device: 'device' is not in events.context"),
        (using("share:colour"), "features.use: share:colour: 'colour' is not in items.attributes"),
        (using("match:idf", events=LISTS), "features.use: match:idf: needs events.query, whose words it compares"),
        (using("match:price"), "features.use: 'match:price': there are match:words, match:idf, match:grams"),
        (using("shown"), "features.use: shown: needs events.user, events.impression and events.timestamp"),
        (using("list:shown", **NOTHING), "features.use: list:shown: needs events.user, events.impression"),
        (using("list:hour"), "features.use: 'list:hour': there is nothing to compare in a list; use one of"),
        (using("count"), "features.use: 'count': write count:<...>"),
        (using("rate:click"), "features.use: 'rate:click': '' is no event; write count:click"),
        (changed("features", to={"windows": ["1h", "5m"]}),
         "features.windows: '5m' is no window of at least 15m; write 15m, 6h or 7d"),
        (changed("features", to={"windows": ["day"]}), "features.windows: 'day' is no window"),
        (changed("features", to={"windows": ["1h", "1h"]}), "features.windows: name each window once"),
        (changed("features", to={"windows": []}), "features.windows: Tuple should have at least 1 item"),
        (changed("history", "events", "view", to="kind=seen"),
         "history.events.view: means being in a list that was shown; take another name"),
    ],
)  # fmt: skip
def test_a_feature_that_the_tables_cannot_feed_is_named_with_what_it_lacks(
    record: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        config.parse(record, Path("shop.toml"))


def test_a_feature_of_every_kind_is_read_where_the_tables_feed_it() -> None:
    record = {
        **using(
            "shown", "again", "share:brand", "count:view", "count:click+view:15m", "rate:click/view", "since:click",
            "number:price", "latest:stock", "context:device", "list:count:click", "list:latest:stock",
        ),
        "items": {**GOOD["items"], "numbers": ["price"]},
        "events": {**LISTS, "context": ["device"], "numbers": ["stock"]},
    }  # fmt: skip
    record["features"]["windows"] = ["15m", "7d"]
    found = config.parse(record, Path("shop.toml"))
    assert found.features.windows == ("15m", "7d")
    assert (found.items.numbers, found.events.context, found.events.numbers) == (
        ("price",),
        ("device",),
        ("stock",),
    )


def test_several_mistakes_are_told_at_once() -> None:
    record = {**GOOD, "model": {"dropout": 2}, "training": {"epochs": 0}}
    with pytest.raises(ConfigError, match=r"shop.toml: model.dropout: .*; training.epochs: "):
        config.parse(record, Path("shop.toml"))


def test_each_optimiser_has_rates_of_its_own_and_what_the_file_says_stands() -> None:
    usual = {kind: toy.settings(training={"optimizer": kind}).training for kind in ("adamw", *RATES)}
    assert usual["adamw"] == toy.settings().training
    for kind, rates in RATES.items():
        expected = {"lr_encoder": 2e-5, **rates, "lr_heads": 3e-3}  # the last is in the file
        assert {key: getattr(usual[kind], key) for key in expected} == expected
    said = toy.settings(training={"optimizer": "sgd", "lr_heads": 0.5, "weight_decay": 0.01}).training
    assert (said.lr_heads, said.lr_encoder, said.weight_decay) == (0.5, RATES["sgd"]["lr_encoder"], 0.01)


@pytest.mark.parametrize(
    ("content", "message"), [(b"name = ", "is not TOML"), (b"name = '\xff'", "is not TOML")]
)
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "shop.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        config.read(tmp_path / "shop.toml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: no such file"):
        config.read(tmp_path / "none.toml")


def test_the_example_of_the_documentation_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    (tmp_path / "books.toml").write_text(page.split("```toml\n")[1].split("```")[0])
    read = config.read(tmp_path / "books.toml")
    assert (read.items.id, read.history.events, read.tasks["open"].main) == (
        "isbn",
        {"opened": "opened"},
        True,
    )


def test_every_key_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    modules = {Section.__module__, TaskConfig.__module__}
    sections = [each for each in Section.__subclasses__() if each.__module__ in modules]
    keys = {"name"}.union(*(each.model_fields for each in sections))
    assert {key for key in keys if not re.search(rf"`[a-z_.]*{key}`|^{key} =", page, re.MULTILINE)} == set()


def test_a_finished_run_is_opened_on_whatever_is_there():
    wanted = toy.settings(training={"device": "cuda", "precision": "bf16", "epochs": 3})
    found = config.anywhere(wanted)
    assert (found.training.device, found.training.precision) == ("auto", "auto")
    assert found.model_copy(update={"training": wanted.training}) == wanted
