import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from model_store.bundle import Bundle
from model_store.engine import Engine
from model_store.errors import BundleMismatch
from model_store.features import FeatureSet
from model_store.gather import ROWS
from model_store.scorer import TOLERANCE, Scorer
from tests.model_store.asked import Request, close, reference


@pytest.fixture(scope="module")
def opened(bundle: Path) -> Bundle:
    return Bundle.open(bundle)


@pytest.fixture(scope="module")
def engine(opened: Bundle) -> Engine:
    return Engine(opened, "cpu")


@pytest.fixture(scope="module", params=["kernel", "graphs"])
def scorer(request: pytest.FixtureRequest, opened: Bundle, engine: Engine) -> Scorer:
    """By either of what computes the heads."""
    scorer = Scorer(opened, engine.features, compiled=request.param == "kernel")
    if request.param == "kernel" and not scorer.compiled:
        pytest.skip("the kernel is not compiled here: there is no C compiler")
    return scorer


@pytest.fixture
def loose(bundle: Path, opened: Bundle, tmp_path: Path) -> Bundle:
    """A copy under the manifest of the original: whatever is done to its files, nobody checks hashes."""
    return Bundle(Path(shutil.copytree(bundle, tmp_path / "copy")), opened.manifest)


@pytest.mark.parametrize("query", [True, False])
@pytest.mark.parametrize("rows", [1, 2, ROWS, ROWS + 1, 3 * ROWS - 1])
def test_candidates_of_any_number_are_what_the_heads_say(opened, engine, scorer, rows, query):
    given = Request(opened, engine, rows, query=query)
    found = scorer.scores(given.side, opened.items.parts, given.places, given.own)
    close(found, reference(engine, scorer, given))


def test_no_candidates_have_no_scores(opened, engine, scorer):
    given = Request(opened, engine, 1)
    found = scorer.scores(given.side, opened.items.parts, given.places[:0], given.own[:0])
    assert found.shape == (0, scorer.width)


def test_the_parts_of_the_catalogue_are_made_of_its_vectors(opened, scorer):
    made = scorer.parts(opened.items.vectors[:50])
    for part, stored in zip(made, opened.items.parts, strict=True):
        np.testing.assert_allclose(part, stored[:50], rtol=1e-5, atol=1e-6)


def test_an_item_of_this_moment_is_scored_as_one_of_the_catalogue(opened, engine, scorer):
    given = Request(opened, engine, 20)
    made = scorer.parts(given.items)
    found = scorer.scores(given.side, made, np.arange(20), given.own)
    close(found, scorer.scores(given.side, opened.items.parts, given.places, given.own))


def test_askers_together_get_what_each_gets_alone(opened, engine, scorer):
    """With many candidates, with few, with none; with a query and without."""
    sizes = [1, 48, 2, 0, 47, ROWS + 3, 1, 7]
    given = [
        Request(opened, engine, size or 1, seed=seed, query=seed % 3 > 0) for seed, size in enumerate(sizes)
    ]
    places, own = (
        np.concatenate([getattr(one, name)[:size] for one, size in zip(given, sizes, strict=True)])
        for name in ("places", "own")
    )
    owners = np.repeat(np.arange(len(sizes)), sizes)
    together = scorer.pairs([one.side for one in given], owners, opened.items.parts, places, own=own)
    alone = [
        scorer.scores(one.side, opened.items.parts, one.places[:size], one.own[:size])
        for one, size in zip(given, sizes, strict=True)
    ]
    close(together, np.concatenate(alone))


def test_many_pairs_of_as_many_askers_are_run_in_turns(opened, engine, scorer):
    given = [Request(opened, engine, 1, seed=seed, query=False) for seed in range(ROWS + 9)]
    places, own = (np.concatenate([getattr(one, name) for one in given]) for name in ("places", "own"))
    sides = [one.side for one in given]
    found = scorer.pairs(sides, np.arange(len(sides)), opened.items.parts, places, own=own)
    close(found, np.concatenate([reference(engine, scorer, one) for one in given]))


def test_threads_do_not_disturb_each_other(opened, engine, scorer):
    given = [Request(opened, engine, 5 + seed, seed=seed, query=seed % 2 == 0) for seed in range(24)]

    def score(one: Request) -> np.ndarray:
        return scorer.scores(one.side, opened.items.parts, one.places, one.own)

    alone = list(map(score, given))
    with ThreadPoolExecutor(6) as pool:
        for found, expected in zip(pool.map(score, given * 4), alone * 4, strict=True):
            np.testing.assert_array_equal(found, expected)


# what does not fit together


def test_a_bundle_that_is_whole_differs_by_less_than_is_allowed(opened, engine, scorer):
    apart = scorer.check(opened, engine)
    assert list(apart) == [task.name for task in scorer.tasks]
    assert max(apart.values()) < TOLERANCE


def test_parts_that_are_not_those_of_the_vectors_are_refused_by_the_task(loose, engine):
    path = loose.folder / "items.silent.npy"
    np.save(path, np.load(path) + 1e-4)
    scorer = Scorer(loose, engine.features)
    named = next(task.name for task in scorer.tasks if task.inputs == "query_item")
    with pytest.raises(BundleMismatch, match=f"{named} of the scorer and of heads.onnx differ by 1.0e-04"):
        scorer.check(loose, engine)


def test_parts_of_another_width_are_refused(loose, engine):
    path = loose.folder / "items.experts.npy"
    np.save(path, np.load(path)[:, 1:])
    with pytest.raises(BundleMismatch, match=r"scorer.items.onnx makes parts of"):
        Scorer(loose, engine.features).check(loose, engine)


def test_a_number_that_is_none_is_refused(loose, engine):
    path = loose.folder / "items.experts.npy"
    np.save(path, np.load(path) * np.nan)
    with pytest.raises(BundleMismatch, match="differ by nan"):
        Scorer(loose, engine.features).check(loose, engine)


def test_graphs_of_other_tasks_or_features_than_the_manifest_are_refused(opened, engine):
    fewer = opened.manifest.model_copy(update={"tasks": opened.manifest.tasks[1:]})
    with pytest.raises(BundleMismatch, match="the scorer has"):
        Scorer(Bundle(opened.folder, fewer), engine.features)
    declared = opened.manifest.features
    other = opened.manifest.model_copy(update={"features": declared.model_copy(update={"use": ("hour",)})})
    with pytest.raises(BundleMismatch, match="the scorer has"):
        Scorer(Bundle(opened.folder, other), FeatureSet(other.features, engine.clock))
