import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from training.errors import ConfigError
from training.run import HANDED, Run, learned

TOML = """
name = "toy"
[items]
path = "items.parquet"
text = ["text"]
[events]
path = "events.parquet"
user = "user"
timestamp = "time"
[tasks.click]
type = "binary"
label = "clicked"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "toy.toml"
    path.write_text(TOML)
    return path


def network(seed: int = 0) -> nn.Sequential:
    """A frozen layer, one that learns, and a buffer."""
    torch.manual_seed(seed)
    made = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1), nn.BatchNorm1d(1))
    made[0].requires_grad_(False)
    return made


def test_a_run_keeps_its_configuration_with_paths_as_seen_from_where_it_came(tmp_path, config):
    run = Run.start(tmp_path / "run", config)
    config.unlink()
    assert run.config.paths(run.config.items.path) == [config.parent / "items.parquet"]
    assert Run(tmp_path / "run").config == run.config


def test_a_new_run_in_the_folder_of_an_old_one_starts_afresh(tmp_path, config):
    run = Run.start(tmp_path / "run", config)
    run.log({"epoch": 1})
    run.checkpoint({"epoch": 1})
    Run.start(tmp_path / "run", config)
    assert run.resumed() is None
    assert not (run.folder / "log.jsonl").exists()


def test_a_resumed_run_keeps_what_it_has(tmp_path, config):
    Run.start(tmp_path / "run", config).checkpoint({"epoch": 1})
    assert Run.start(tmp_path / "run", config, resume=True).resumed() == {"epoch": 1}


def test_resuming_where_there_is_nothing_starts(tmp_path, config):
    assert Run.start(tmp_path / "run", config, resume=True).resumed() is None


def test_resuming_with_another_configuration_is_refused(tmp_path, config):
    Run.start(tmp_path / "run", config)
    config.write_text(TOML.replace("clicked", "bought"))
    with pytest.raises(ConfigError, match="resume with the same file and --seed, or take another --run"):
        Run.start(tmp_path / "run", config, resume=True)


def test_a_run_with_another_seed_keeps_it_and_goes_on_with_it_only(tmp_path, config):
    run = Run.start(tmp_path / "run", config, changes={"training.seed": 11})
    assert run.config.training.seed == 11
    assert (
        Run.start(tmp_path / "run", config, resume=True, changes={"training.seed": 11}).config == run.config
    )
    with pytest.raises(ConfigError, match="resume with the same file and --seed"):
        Run.start(tmp_path / "run", config, resume=True)


def test_a_folder_with_something_else_in_it_is_not_emptied(tmp_path, config):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years")
    with pytest.raises(ConfigError, match="is no run folder"):
        Run.start(tmp_path / "thesis", config)
    with pytest.raises(ConfigError, match="is no run folder"):
        Run.start(config.parent, config)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years"
    assert config.read_text() == TOML


def test_an_empty_folder_can_become_a_run(tmp_path, config):
    (tmp_path / "run").mkdir()
    assert Run.start(tmp_path / "run", config).config.name == "toy"


def handed(run):
    """The run as if it had been trained to its end, and what it hands over."""
    for name in ("state.json", "names.json", "best.safetensors"):
        (run.folder / name).write_text(name)
    return run.handed


def renewable(run):
    """Whether a later run can go on from what stands there."""
    return [(name, file.is_file()) for name, file in run.handed.items()] == [(name, True) for name in HANDED]


def test_a_run_of_an_earlier_release_says_that_it_kept_no_names(tmp_path, config):
    run = Run.start(tmp_path / "run", config)
    with pytest.raises(ConfigError, match=r"before it was trained to its end"):
        _ = run.handed
    handed(run)
    (run.folder / "names.json").unlink()
    with pytest.raises(ConfigError, match=r"an earlier release trained .* train it once more"):
        _ = run.handed


@pytest.mark.parametrize("step", ["copyfile", "rmtree"])
def test_a_run_whose_successor_dies_on_the_way_into_its_place_is_not_lost(
    tmp_path, config, step, monkeypatch
):
    run = Run.start(tmp_path / "run", config)
    files = handed(run)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, step, dying)
        with pytest.raises(KeyboardInterrupt):
            Run.start(run.folder, config, earlier=files)
    assert renewable(run)
    Run.start(run.folder, config, earlier=run.handed)
    assert renewable(run)


def dying(*_, **__):
    raise KeyboardInterrupt


def test_a_disk_that_is_full_leaves_the_run_and_nothing_beside_it(tmp_path, config):
    run = Run.start(tmp_path / "run", config)
    files = handed(run)
    with pytest.raises(FileNotFoundError):
        Run.start(run.folder, config, earlier=files | {"more": tmp_path / "not there"})
    assert run.handed == files
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "run"]


def test_a_link_to_a_run_stays_one(tmp_path, config):
    (tmp_path / "link").symlink_to(tmp_path / "run")
    files = handed(Run.start(tmp_path / "run", config))
    run = Run.start(tmp_path / "link", config, earlier=files)
    assert run.folder.is_symlink()
    assert renewable(run)


@pytest.mark.parametrize("place", [".", ".."])
def test_a_run_does_not_begin_in_place_of_the_folder_one_stands_in(tmp_path, config, monkeypatch, place):
    run = Run.start(tmp_path / "run", config)
    files = handed(run)
    (run.folder / "refit").mkdir()
    monkeypatch.chdir(run.folder if place == "." else run.folder / "refit")
    with pytest.raises(ConfigError, match="you stand in it; go to another folder"):
        Run.start(Path(place), config, earlier=files)
    assert run.handed == files
    Run.start(Path(place), config, resume=True)


@pytest.mark.parametrize("resume", [True, False])
def test_a_run_does_not_start_from_its_own_copy_of_the_configuration_and_empties_nothing(
    tmp_path, config, resume
):
    """Paths in it are relative to where it came from."""
    run = Run.start(tmp_path / "run", config)
    run.checkpoint({"epoch": 1})
    with pytest.raises(ConfigError, match=r"is a run's own copy; take .*toy\.toml"):
        Run.start(run.folder, run.folder / "config.toml", resume=resume)
    assert run.resumed() == {"epoch": 1}


@pytest.mark.parametrize("content", [None, "notes"])
def test_a_folder_that_is_no_run_has_no_configuration(tmp_path, content):
    (tmp_path / "other").mkdir()
    if content:
        (tmp_path / "other" / content).touch()
    with pytest.raises(ConfigError, match="is no run folder; make one with `chorus-train run CONFIG`"):
        _ = Run(tmp_path / "other").config


# weights


def test_the_best_weights_come_back_with_the_buffers_but_without_the_frozen_ones(tmp_path):
    run, kept = Run(tmp_path), network(0)
    kept[2].running_mean.fill_(7)
    run.keep(kept)
    other = network(1)
    frozen = other[0].weight.clone()
    run.best(other)
    torch.testing.assert_close(other[1].weight, kept[1].weight, rtol=0, atol=0)
    assert other[2].running_mean.item() == 7
    torch.testing.assert_close(other[0].weight, frozen, rtol=0, atol=0)
    assert "0.weight" not in learned(kept)


def test_weights_of_another_network_are_refused(tmp_path):
    run = Run(tmp_path)
    run.keep(network())
    with pytest.raises(ConfigError, match="does not fit the configuration"):
        run.best(nn.Sequential(nn.Linear(2, 3)))
    with pytest.raises(ConfigError, match="does not fit the configuration"):
        run.best(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4), nn.BatchNorm1d(1)))


def test_a_run_that_never_ended_an_epoch_has_no_best_weights(tmp_path):
    with pytest.raises(ConfigError, match="was not trained to the end of an epoch"):
        Run(tmp_path).best(network())


def test_a_checkpoint_replaces_the_last_one_as_a_whole(tmp_path):
    run = Run(tmp_path)
    run.checkpoint({"epoch": 1, "weights": torch.ones(3)})
    run.checkpoint({"epoch": 2, "weights": torch.zeros(3)})
    assert run.resumed()["epoch"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["resume.pt"]


def test_what_teachers_say_comes_back_and_is_written_as_a_whole(tmp_path):
    run, said = Run(tmp_path), {"click": np.array([[0.5], [np.nan]], dtype=np.float32)}
    assert not run.taught.is_file()
    run.teach(said)
    np.testing.assert_array_equal(run.told()["click"], said["click"])
    assert [path.name for path in tmp_path.iterdir()] == [run.taught.name]


def test_half_written_files_of_a_killed_run_are_not_read(tmp_path):
    run = Run(tmp_path)
    run.checkpoint({"epoch": 1})
    run.keep(network())
    for path in list(tmp_path.iterdir()):
        path.with_suffix(".partial").write_bytes(b"half")
    assert run.resumed() == {"epoch": 1}
    run.best(network())


# records


def test_the_log_has_a_line_a_record(tmp_path):
    run = Run(tmp_path)
    for epoch in (1, 2):
        run.log({"epoch": epoch})
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"epoch": 1}, {"epoch": 2}]


def test_a_file_that_is_not_there_yet_says_which_command_makes_it(tmp_path):
    run = Run(tmp_path)
    with pytest.raises(ConfigError, match="run `chorus-train evaluate"):
        run.read("metrics.json")
    run.write("metrics.json", {"auc": 0.5})
    assert run.read("metrics.json") == {"auc": 0.5}


def test_the_log_has_each_epoch_once_as_it_was_last(tmp_path):
    run = Run(tmp_path)
    assert run.epochs == []
    for epoch, loss in ((1, 0.9), (2, 0.8), (2, 0.7)):
        run.log({"epoch": epoch, "loss": loss})
    assert run.epochs == [{"epoch": 1, "loss": 0.9}, {"epoch": 2, "loss": 0.7}]
