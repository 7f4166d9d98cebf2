import tomllib

import pytest

from training.config import read
from training.errors import ConfigError
from training.search import outcome
from training.search.space import Space
from training.search.trials import Trials


@pytest.fixture(scope="module")
def found(written, tmp_path_factory, progress):
    root = tmp_path_factory.mktemp("outcome")
    path, folder = written(root / "data", method="random", trials=4), root / "runs" / "s"
    folder.mkdir(parents=True)
    space = Space(path, read(path))
    record = outcome.record(space, Trials(space, folder, progress).run(None, read(path)))
    outcome.write(space, record, source=path, folder=folder)
    return record, folder, path


def test_the_best_has_the_greatest_value_of_a_metric_of_which_more_is_better(found):
    record = found[0]
    assert record["best"]["value"] == max(trial["value"] for trial in record["trials"]) > 0.0


def test_the_best_file_keeps_comments_and_finds_its_tables_from_where_it_lies(found):
    record, folder, path = found
    text = (folder / "best.toml").read_text()
    assert "# how it is" in text
    best, before = tomllib.loads(text), tomllib.loads(path.read_text())
    assert "search" not in best
    assert best["training"]["metric"] == "click:auc"
    assert best["model"]["sharing"] == record["best"]["values"]["model.sharing"]
    assert best["tasks"] == before["tasks"]
    config = read(folder / "best.toml")
    assert all(
        each.is_file() for each in (*config.paths(config.items.path), *config.paths(config.events.path))
    )


def test_the_table_has_all_trials_best_first_and_what_each_key_is_worth(found):
    record, folder, _ = found
    text = (folder / "search.md").read_text()
    rows = [line for line in text.splitlines() if "| whole |" in line]
    values = [float(row.split("|")[2]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert len(values) == 4
    assert sum(record["importance"].values()) == pytest.approx(1.0)
    assert "| training.lr_heads | " in text
    assert "The test part was not read." in text
    assert (folder / "search.svg").read_text().startswith("<?xml")


def test_a_search_without_a_whole_trial_says_why(written, tmp_path, progress):
    path = written(tmp_path / "data", method="grid", space={"training.lr_heads": [1e30]})
    space = Space(path, read(path))
    (tmp_path / "s").mkdir()
    study = Trials(space, tmp_path / "s", progress).run(None, read(path))
    with pytest.raises(ConfigError, match="no trial came to its end; the first: click:auc is undefined"):
        outcome.record(space, study)
