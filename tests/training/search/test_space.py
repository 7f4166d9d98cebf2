import optuna
import pytest
from optuna.trial import FixedTrial

from training.config import read
from training.errors import ConfigError
from training.search.space import Space


@pytest.fixture
def space_of(written, tmp_path):
    def make(**search):
        path = written(tmp_path, **search)
        return Space(path, read(path))

    return make


def test_a_trials_values_stand_in_its_configuration_and_the_rest_stays(space_of):
    space = space_of(space={"training.lr_heads": [0.1], "features.use": [["hour"], ["hour", "item_age"]]})
    chosen = space.suggest(FixedTrial({"training.lr_heads": 0.1, "features.use": '["hour", "item_age"]'}))
    config = space.config(chosen)
    assert config.training.lr_heads == 0.1
    assert config.features.use == ("hour", "item_age")
    assert (config.training.epochs, config.training.metric, config.search) == (2, "click:auc", None)


def test_an_optimiser_that_is_tried_has_its_usual_rates_where_the_file_says_none(space_of):
    space = space_of(space={"training.optimizer": ["adamw", "sgd"], "training.schedule": ["cosine"]})
    found = [space.config({"training.optimizer": kind}).training for kind in ("adamw", "sgd")]
    assert [each.lr_heads for each in found] == [3e-3, 3e-3]
    assert [each.weight_decay for each in found] == [0.05, 0.0]
    assert space.usual(read(space._path)) == {"training.optimizer": "adamw"}


def test_ranges_are_drawn_whole_by_logarithm_or_in_steps(space_of):
    ranges = {
        "model.hidden": {"low": 8, "high": 16, "step": 4},
        "training.lr_heads": {"low": 1e-4, "high": 1e-1, "log": True},
        "model.dropout": {"low": 0.0, "high": 0.5, "step": 0.25},
    }
    space = space_of(space=ranges)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [space.suggest(study.ask()) for _ in range(30)]
    assert {each["model.hidden"] for each in drawn} == {8, 12, 16}
    assert {each["model.dropout"] for each in drawn} == {0.0, 0.25, 0.5}
    assert sum(each["training.lr_heads"] < 1e-3 for each in drawn) > 3


def test_a_grid_has_every_value_of_lists_and_of_steps(space_of):
    ranges = {"model.hidden": {"low": 8, "high": 10}, "model.dropout": {"low": 0.0, "high": 0.3, "step": 0.1}}
    space = space_of(method="grid", space={**ranges, "model.projections": [True, False]})
    grid = space.grid()
    assert grid["model.hidden"] == [8, 9, 10]
    assert grid["model.dropout"] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert space.size == 24
    assert (
        space.suggest(FixedTrial({key: each[0] for key, each in grid.items()}))["model.projections"] is True
    )


def test_the_configurations_own_values_are_known_where_the_space_has_them(space_of):
    keys = {
        "training.epochs": [2, 3],
        "training.lr_heads": {"low": 0.1, "high": 1.0},
        "model.freeze": ["all", "none"],
    }
    space = space_of(space={**keys, "features.use": [["hour"], ["hour", "since_last", "history_size"]]})
    usual = space.usual(read(space._path))
    assert usual == {
        "training.epochs": 2, "model.freeze": "all", "features.use": '["hour", "since_last", "history_size"]',
    }  # fmt: skip


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"space": {"training.lr_head": [0.1]}}, r'with "training.lr_head" = 0.1: .*training.lr_head: unknown key'),
        ({"space": {"training.lr_heads": [0.1, -1]}}, r'with "training.lr_heads" = -1: .*greater than 0'),
        ({"space": {"training.lr_heads": {"low": -1.0, "high": 1.0}}}, r"lr_heads.* = -1.0: .*greater than 0"),
        ({"space": {"model.sharing": ["ple", "plee"]}}, r'"model.sharing" = "plee": .*sharing: Input should be'),
        ({"space": {"name.x": ["a"]}}, '"name.x": trials would not be judged'),
        (
            {"space": {"tasks.click.taught": [0.0, 0.5]}},
            r'"tasks.click.taught" = 0.5: tasks.click.taught: trials learn from labels alone',
        ),
        ({"space": {"split.test": [0.1, 0.2]}}, '"split.test": trials would not be judged on the same rows'),
        ({"space": {"training.metric": ["click:mrr"]}}, '"training.metric": trials would not'),
        ({"space": {"items.path.x": [1]}}, '"items.path.x": path is no table'),
        ({"metric": ""}, 'search.metric: name what decides, such as "click:auc"'),
        ({"metric": "buy:auc"}, "search.metric: 'buy:auc' names no task; there are: click"),
        ({"space": {"features.use": [["hour"], ["habit:click"]], "history.events": [{"click": "clicked"}, {}]}},
         r'with "features.use" = \["habit:click"\], "history.events" = {}: .*is not in history.events'),
    ],
)  # fmt: skip
def test_an_error_in_the_space_names_the_key_the_value_and_what_is_wrong(space_of, search, message):
    with pytest.raises(ConfigError, match=message):
        space_of(**search)


def test_a_configuration_without_a_search_says_where_to_look(written, tmp_path):
    path = written(tmp_path)
    path.write_text(path.read_text().partition("[search]")[0])
    with pytest.raises(ConfigError, match=r"no \[search\]; docs/data.md shows"):
        Space(path, read(path))
