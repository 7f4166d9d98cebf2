import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from app.layers import Layered
from model_store import kernel
from model_store.bundle import Bundle
from model_store.engine import Engine, session
from model_store.errors import BundleMismatch
from model_store.gather import ROWS
from model_store.kernel import Kernel
from model_store.scorer import Scorer, _stacked
from tests.model_store.asked import Request

compiled = pytest.mark.skipif(kernel._kernel is None, reason="not compiled here: there is no C compiler")


@pytest.fixture(scope="module")
def opened(bundle: Path) -> Bundle:
    return Bundle.open(bundle)


@pytest.fixture(scope="module")
def engine(opened: Bundle) -> Engine:
    return Engine(opened, "cpu")


@pytest.fixture(scope="module")
def made(opened: Bundle) -> Kernel:
    return Kernel.open(opened, session)


def asked(given: Request, **changed: np.ndarray) -> dict[str, np.ndarray]:
    """What the kernel reads of one asker."""
    sides = {"user": given.side.user[None], "shared": given.side.shared[None]}
    return sides | ({} if given.query is None else {"query": given.query[None]}) | changed


@compiled
@pytest.mark.parametrize("query", [True, False])
def test_a_candidate_has_the_same_bits_alone_and_among_others(opened, engine, made, query):
    given, parts = Request(opened, engine, 131, query=query), opened.items.parts
    together = made.outputs(asked(given), None, parts, given.places, own=given.own)
    for row in range(0, 131, 13):
        one = slice(row, row + 1)
        alone = made.outputs(asked(given), None, parts, given.places[one], own=given.own[one])
        np.testing.assert_array_equal(alone, together[one])
    order = np.random.default_rng(1).permutation(131)
    other = made.outputs(asked(given), None, parts, given.places[order], own=given.own[order])
    np.testing.assert_array_equal(other, together[order])


@compiled
@pytest.mark.parametrize("queries", [[True] * 9, [False] * 9, [True, False, False] * 3])
def test_an_asker_is_answered_with_the_same_bits_beside_others(opened, engine, made, queries):
    given = [
        Request(opened, engine, 1 + 7 * seed, seed=seed, query=query) for seed, query in enumerate(queries)
    ]
    sides = [asked(one) for one in given]
    every = _stacked([one.side for one in given])
    owners = np.repeat(np.arange(9), [len(one.places) for one in given])
    places, own = (np.concatenate([getattr(one, name) for one in given]) for name in ("places", "own"))
    together = made.outputs(every, owners, opened.items.parts, places, own=own)
    alone = [
        made.outputs(side, None, opened.items.parts, one.places, own=one.own)
        for side, one in zip(sides, given, strict=True)
    ]
    np.testing.assert_array_equal(together, np.concatenate(alone))


@compiled
def test_rows_that_lie_in_layers_are_those_of_one_table(opened, engine, made):
    """All in the lower layer, all in the upper one, and in both, more of them than are gathered at once."""
    parts, first = list(opened.items.parts), len(opened.items) // 2
    given = Request(opened, engine, ROWS + 40)
    layered = [Layered(part[:first], lambda part=part: part[first:], first) for part in parts]
    low = np.flatnonzero(given.places < first)
    high = np.flatnonzero(given.places >= first)
    for rows in (low, high, np.arange(ROWS + 40)):
        found, expected = (
            made.outputs(asked(given), None, tables, given.places[rows], own=given.own[rows])
            for tables in (layered, parts)
        )
        np.testing.assert_array_equal(found, expected)


@compiled
def test_arrays_that_do_not_fit_are_refused_before_a_number_is_read(opened, engine, made):
    given, parts = Request(opened, engine, 10), list(opened.items.parts)
    fitting = {
        "askers": asked(given),
        "owners": None,
        "parts": parts,
        "places": given.places,
        "own": given.own,
    }
    made.outputs(**fitting)
    for change in (
        {"places": given.places + len(opened.items)},
        {"places": given.places * 0 - 1},
        {"owners": np.ones(10, np.int64)},
        {"own": given.own[:9]},
        {"parts": [parts[0][:, 1:].copy(), *parts[1:]]},
        {"parts": [parts[0], parts[1][: given.places.max()], *parts[2:]]},
        {"parts": [parts[0].view(np.int32), *parts[1:]]},
        {"parts": [*parts[:2], parts[2].astype(np.float64), parts[3]]},
        {"askers": {name: values.astype(np.float64) for name, values in asked(given).items()}},
        {"askers": asked(given, asked=np.ones(2, np.bool_))},
        {"askers": asked(given, user=given.side.user[None, 1:])},
        {"askers": asked(given, query=np.zeros((2, len(given.side.user)), np.float32))},
        {"askers": asked(given, shared=given.side.shared[None, 1:])},
    ):
        with pytest.raises(ValueError, match="do not fit"):
            made.outputs(**fitting | change)


@compiled
def test_a_table_that_has_grown_while_the_others_were_looked_at_is_no_mistake(opened, engine, made):
    given, parts = Request(opened, engine, 10), list(opened.items.parts)
    fewer = [parts[0][: given.places.max() + 1], *parts[1:]]
    found, expected = (
        made.outputs(asked(given), None, tables, given.places, own=given.own) for tables in (fewer, parts)
    )
    np.testing.assert_array_equal(found, expected)


@compiled
@pytest.mark.parametrize("place", range(15))
@pytest.mark.parametrize("number", [-1, 0, 1, 17, 2**20 + 1, 2**62])
def test_a_layout_that_is_wrong_never_reads_beyond_an_array(opened, engine, made, place, number):
    """Whoever made the bundle: sizes are refused, or the arrays do not have them, or it is as harmless as another."""
    given, layout = Request(opened, engine, 10), made._layout.copy()
    layout[place] = number
    room, logits = np.zeros(made._room, np.float32), np.zeros((10, made._width), np.float32)
    user, shared, query = asked(given)["user"], asked(given)["shared"], asked(given)["query"]
    arrays = [*list(opened.items.parts)[:3], given.places, None, user, query, None, shared, given.own]
    with contextlib.suppress(ValueError):
        kernel._kernel.score(layout, made._weights, room, logits, *arrays, False)


@compiled
@pytest.mark.parametrize("name", ["kinds", "seen"])
@pytest.mark.parametrize("number", [-1, 3, 10**6])
def test_kinds_and_experts_that_there_are_not_are_refused(opened, name, number):
    with np.load(opened.path(kernel.WEIGHTS)) as arrays:
        whole = dict(arrays)
    whole[name].flat[-1] = number
    with pytest.raises((ValueError, IndexError)):
        Kernel(whole, session(opened, kernel.LINKS, "cpu"))


@compiled
def test_a_number_that_is_none_is_never_hidden(opened, engine, made):
    for field in ("user", "shared"):
        given = Request(opened, engine, 10)
        getattr(given.side, field)[-1] = np.nan
        outputs = made.outputs(asked(given), None, opened.items.parts, given.places, own=given.own)
        assert np.isnan(outputs).any(axis=1).all()


@compiled
def test_weights_that_are_not_of_one_network_are_refused(opened, tmp_path):
    loose = Bundle(Path(shutil.copytree(opened.folder, tmp_path / "copy")), opened.manifest)
    with np.load(opened.path(kernel.WEIGHTS)) as arrays:
        whole = dict(arrays)
    for change in (
        {"user": whole["user"][:, :-1]},
        {"towers": whole["towers"][:-1]},
        {"seen": whole["seen"][:0]},
    ):
        np.savez(loose.folder / kernel.WEIGHTS, **whole | change)
        with pytest.raises(BundleMismatch, match=r"scorer.npz: .*; export the bundle again"):
            Kernel.open(loose, session)
    np.savez(loose.folder / kernel.WEIGHTS, **{name: whole[name] for name in whole if name != "last"})
    with pytest.raises(BundleMismatch, match="it has no 'last'; export"):
        Kernel.open(loose, session)


@compiled
def test_weights_of_other_features_than_the_manifest_are_refused(opened, engine, tmp_path):
    loose = Bundle(Path(shutil.copytree(opened.folder, tmp_path / "copy")), opened.manifest)
    with np.load(opened.path(kernel.WEIGHTS)) as arrays:
        whole = dict(arrays)
    names = ("own_mean", "own_inverse", "own_first", "own_now")
    np.savez(loose.folder / kernel.WEIGHTS, **whole | {name: whole[name][1:] for name in names})
    with pytest.raises(BundleMismatch, match="the scorer has"):
        Scorer(loose, engine.features)


@compiled
def test_it_serves_where_it_was_compiled_and_the_bundle_has_weights(opened, engine, monkeypatch):
    files = {name: entry for name, entry in opened.manifest.files.items() if name != kernel.WEIGHTS}
    early = Bundle(opened.folder, opened.manifest.model_copy(update={"files": files}))
    assert Scorer(opened, engine.features).compiled
    assert not Scorer(early, engine.features).compiled
    monkeypatch.setattr(kernel, "_kernel", None)
    assert not Scorer(opened, engine.features).compiled
