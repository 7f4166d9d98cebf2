import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from model_store.bundle import Bundle
from model_store.engine import Engine
from model_store.errors import BundleMismatch
from model_store.features import FeatureSet
from model_store.scorer import ROWS, TOLERANCE, Scorer, Side


@pytest.fixture(scope="module")
def opened(bundle: Path) -> Bundle:
    return Bundle.open(bundle)


@pytest.fixture(scope="module")
def engine(opened: Bundle) -> Engine:
    return Engine(opened, "cpu")


@pytest.fixture(scope="module")
def scorer(opened: Bundle, engine: Engine) -> Scorer:
    return Scorer(opened, engine.features)


@pytest.fixture
def loose(bundle: Path, opened: Bundle, tmp_path: Path) -> Bundle:
    """A copy under the manifest of the original: whatever is done to its files, nobody checks hashes."""
    return Bundle(Path(shutil.copytree(bundle, tmp_path / "copy")), opened.manifest)


class Request:
    """Candidates of one asker, drawn at random."""

    def __init__(
        self, opened: Bundle, engine: Engine, rows: int, *, seed: int = 0, query: bool = True
    ) -> None:
        random, features = np.random.default_rng(seed), engine.features
        user, asked = (
            vector / np.linalg.norm(vector) for vector in random.normal(size=(2, opened.manifest.dimension))
        )
        context = random.normal(size=(rows, features.width)).astype(np.float32)
        context[:, features.shared] = context[:1, features.shared]
        self.query = asked.astype(np.float32) if query else None
        self.side = Side(user.astype(np.float32), self.query, context[0, features.shared])
        self.places, self.own = random.integers(len(opened.items), size=rows), context[:, features.own]
        self.context, self.items = context, opened.items.vectors[self.places]


def reference(engine: Engine, scorer: Scorer, given: Request) -> np.ndarray:
    found = engine.heads(given.side.user, given.query, given.items, given.context)
    return np.concatenate([found[task.name] for task in scorer.tasks], axis=1)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


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


def early(path: Path, features: FeatureSet) -> None:
    """Make a graph read what those of earlier bundles did: the parts of the context, a row a candidate or one."""
    model = onnx.load(path)
    graph, widths = model.graph, {"own": len(features.own), "shared": len(features.shared)}
    kept = [node for node in graph.input if node.name not in ("context", "whose")]
    parts = [helper.make_tensor_value_info(*one) for one in (
        ("own", TensorProto.FLOAT, ["rows", widths["own"]]), ("shared", TensorProto.FLOAT, ["m", widths["shared"]]),
    )]  # fmt: skip
    numbers = {"zero": 0, "one": 1, "shared_width": [widths["shared"]]}
    graph.initializer.extend(
        numpy_helper.from_array(np.array(number, dtype=np.int64), name) for name, number in numbers.items()
    )
    told = [
        helper.make_node("Shape", ["items"], ["size"], end=1),
        helper.make_node("Concat", ["size", "shared_width"], ["shape"], axis=0),
        helper.make_node("Expand", ["shared", "shape"], ["spread"]),
        helper.make_node("Concat", ["spread", "own"], ["context"], axis=1),
        helper.make_node("Shape", ["user"], ["askers_size"], end=1),
        helper.make_node("Squeeze", ["askers_size"], ["askers_number"]),
        helper.make_node("Range", ["zero", "askers_number", "one"], ["whose"]),
    ]
    nodes = [*told, *graph.node]
    del graph.input[:], graph.node[:]
    graph.input.extend([*kept, *parts])
    graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def test_the_graphs_of_earlier_bundles_are_still_served(loose, opened, engine, scorer):
    for name in ("scorer.onnx", "scorer.query.onnx"):
        early(loose.folder / name, engine.features)
    before, parts = Scorer(loose, engine.features), opened.items.parts
    given = [Request(opened, engine, size, seed=size, query=size % 2 == 0) for size in (1, 2, 60, ROWS + 5)]
    owners = np.repeat(np.arange(len(given)), [len(one.places) for one in given])
    places, own = (np.concatenate([getattr(one, name) for one in given]) for name in ("places", "own"))
    sides = [one.side for one in given]
    found, expected = (each.pairs(sides, owners, parts, places, own=own) for each in (before, scorer))
    close(found, expected)
    alone = before.scores(sides[-1], parts, given[-1].places, given[-1].own)
    close(alone, reference(engine, scorer, given[-1]))


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
