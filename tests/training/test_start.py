"""Runs begin in their folders, with what they take over, and nothing is lost when they cannot."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from tests import tiny
from training import pipeline
from training.dataset import BEFORE
from training.errors import ConfigError, DataError
from training.heritage import Heritage
from training.run import Run
from training.start import begun, first, held, renewed
from training.team import SOLO


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """The tiny shop's configuration."""
    path = tiny.configuration(tmp_path_factory.mktemp("start") / "data")
    path.write_text(path.read_text().replace("epochs = 2", "epochs = 1"))
    return path


@pytest.fixture(scope="module")
def finished(config, progress):
    """A run of it with a seed of its own, trained to its end."""
    [place], benches = begun(
        first([config], config.parent / "runs" / "shop", 3), SOLO, progress, resume=False
    )
    pipeline.train_all(benches, [place], progress)
    return place


@pytest.fixture
def begin(progress):
    """The one run of a start, and its tables."""

    def beginning(starts, *, resume=False):
        [place], [bench] = begun(starts, SOLO, progress, resume=resume)
        return place, bench

    return beginning


def copied(run, folder):
    """The run in another place, to be lost."""
    shutil.copytree(run.folder, folder / "shop")
    return Run(folder / "shop")


def weights(run):
    return (run.folder / "best.safetensors").read_bytes()


def again(run, into=None, *, new=True, resume=False):
    return renewed([run.folder], into, new=new, resume=resume)


def named(config, name):
    """The configuration under another name."""
    other = config.with_name(f"{name}.toml")
    other.write_text(re.sub(r'^name = ".*"', f'name = "{name}"', config.read_text(), flags=re.M))
    return other


def test_runs_stand_where_they_are_told_or_by_their_names(config, tmp_path):
    other = named(config, "other")
    assert [start.place for start in first([config], tmp_path, None)] == [tmp_path]
    assert [start.place for start in first([config], None, 11)] == [Path("runs/shop-seed11")]
    assert [start.place.name for start in first([config, other], tmp_path, None)] == ["shop", "other"]


def test_two_runs_do_not_stand_in_one_folder(config, tmp_path, progress):
    with pytest.raises(ConfigError, match="two runs would stand in the same folder"):
        begun(first([config, config], tmp_path, None), SOLO, progress, resume=False)


def test_a_run_can_take_the_place_of_the_one_that_it_goes_on_from(finished, tmp_path, begin):
    old = copied(finished, tmp_path)
    before = weights(old)
    place, _ = begin(again(old))
    assert place.folder == old.folder
    assert place.inherited["best.safetensors"].read_bytes() == before
    assert not (place.folder / "best.safetensors").exists()
    resumed, _ = begin(again(old, resume=True), resume=True)
    assert resumed.inherited["best.safetensors"].read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "shop"]


def test_what_is_new_begins_where_the_earlier_run_ended(config, finished, tmp_path, begin):
    until = Heritage(finished.handed).until
    place, bench = begin(again(finished, tmp_path / "later"))
    assert place.config.training.seed == 3  # as the run was, not as the file says
    requests = bench.dataset.requests
    assert requests.times[requests.of("train")].min() >= until
    assert (requests.splits == BEFORE).any()
    assert requests.times[requests.splits == BEFORE].max() < until
    _, whole = begin(again(finished, tmp_path / "whole", new=False))
    assert not (whole.dataset.requests.splits == BEFORE).any()


def test_what_cannot_go_on_is_refused_and_the_run_that_stood_there_stays(config, finished, tmp_path, begin):
    old, text = copied(finished, tmp_path), config.read_text()
    before = weights(old)
    try:
        config.write_text(re.sub(r"hidden = \d+", "hidden = 24", text))
        with pytest.raises(ConfigError, match=r"model.hidden is 24, and 16 in the run"):
            begin(again(old))
        config.write_text(text.replace("[split]", '[split]\ntest_from = "2001-01-01T00:00:00Z"'))
        with pytest.raises(ConfigError, match=r"split.train_from must be before"):
            begin(again(old))
    finally:
        config.write_text(text)
    assert weights(old) == before
    (old.folder / "state.json").unlink()
    with pytest.raises(ConfigError, match=r"state.json does not exist: nothing can go on from .* to its end"):
        again(old)


def moved(run, until):
    """The run, as if it had learned up to another moment."""
    told = json.loads((run.folder / "names.json").read_text())
    (run.folder / "names.json").write_text(json.dumps(told | {"until": until}))


@pytest.mark.parametrize("newer", [0, 1, 2])
def test_a_run_stays_where_too_little_came_since(finished, tmp_path, begin, newer):
    old = copied(finished, tmp_path)
    _, bench = begin(again(old, tmp_path / "other"))
    moved(old, float(np.unique(bench.dataset.requests.times)[-newer]) if newer else 4e9)
    before = old.read("state.json"), weights(old)
    for _ in range(2):  # a week later, too
        with pytest.raises((ConfigError, DataError), match=r"nothing is as new|split is empty"):
            begin(again(old))
    assert (old.read("state.json"), weights(old)) == before


def test_all_runs_stay_where_one_of_them_cannot_begin(config, finished, tmp_path, progress):
    old = [copied(finished, tmp_path / name) for name in "ab"]
    (old[1].folder / "origin").write_text(str(named(config, "other")))
    moved(old[1], 4e9)
    before = [weights(each) for each in old]
    with pytest.raises(ConfigError):
        begun(
            renewed([each.folder for each in old], None, new=True, resume=False), SOLO, progress, resume=False
        )
    assert [weights(each) for each in old] == before


def test_runs_with_encoders_of_their_own_are_not_renewed_as_if_they_shared_one(
    config, finished, tmp_path, progress
):
    old = [copied(finished, tmp_path / name) for name in "ab"]
    folders = [each.folder for each in old]
    (folders[1] / "origin").write_text(str(named(config, "other")))
    found = load_file(old[1].folder / "best.safetensors")
    name = next(name for name in found if name.startswith("text."))
    save_file(found | {name: found[name] + 1.0}, old[1].folder / "best.safetensors")
    before = [weights(each) for each in old]
    with pytest.raises(ConfigError, match=r"were not trained together .* renew each by itself"):
        begun(renewed(folders, None, new=True, resume=False), SOLO, progress, resume=False)
    assert [weights(each) for each in old] == before


def test_only_rows_that_are_held_out_by_time_are_newer_than_others(config, finished):
    text = config.read_text()
    try:
        config.write_text(text.replace('by = "time"', 'by = "query"'))
        with pytest.raises(ConfigError, match=r'split.by = "query" .* --all'):
            again(finished)
        assert "split.train_from" not in again(finished, new=False)[0].changes
    finally:
        config.write_text(text)


def test_two_processes_do_not_train_in_one_folder(config, tmp_path):
    starts = first([config], tmp_path / "shop", None)
    with held(starts, SOLO):
        with pytest.raises(ConfigError, match=r"another process trains in .*shop; wait until it has ended"):
            held(starts, SOLO).__enter__()
        with held(first([config], tmp_path / "other", None), SOLO):
            pass
    with held(starts, SOLO):
        pass


def test_what_a_renewal_that_did_not_end_took_over_is_gone_on_from(finished, tmp_path, begin):
    old = copied(finished, tmp_path)
    before = weights(old)
    for _ in range(3):
        place, _ = begin(again(old))
        (place.folder / "best.safetensors").write_bytes(b"half")
        assert place.inherited["best.safetensors"].read_bytes() == before


def test_a_run_is_resumed_as_it_was_begun(config, finished, tmp_path, begin):
    begin(first([config], tmp_path / "plain", 3))
    with pytest.raises(ConfigError, match="was begun by `chorus-train run`; resume it by that"):
        begin(again(finished, tmp_path / "plain", new=False, resume=True), resume=True)
    begin(again(finished, tmp_path / "later", new=False))
    with pytest.raises(ConfigError, match="was begun by `chorus-train renew`; resume it by that"):
        begin(first([config], tmp_path / "later", 3), resume=True)


def test_no_run_is_no_run_to_go_on_from(tmp_path):
    with pytest.raises(ConfigError, match="is no run folder"):
        again(Run(tmp_path / "nothing"))
