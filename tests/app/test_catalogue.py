import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.candidates import Candidates, Described
from app.catalogue import Catalogue
from model_store.bundle import Bundle
from model_store.scorer import Scorer
from tests.app.plain import feature_set


@pytest.fixture(scope="session")
def manifest(bundle):
    return Bundle.open(bundle).manifest


@pytest.fixture(scope="session")
def scorer(bundle, manifest):
    return Scorer(Bundle.open(bundle), feature_set(manifest))


@pytest.fixture(scope="session")
def catalogue(bundle, manifest, scorer):
    return Catalogue(Bundle.open(bundle).items, manifest, scorer.parts)


@pytest.fixture(scope="session")
def category(catalogue):
    """An attribute that items have, one of its values, and the ids that carry it."""
    name, attribute = next(
        (name, each) for name, each in catalogue.items.attributes.items() if len(each.values) > 1
    )
    rows = np.flatnonzero((attribute.codes == 0).any(axis=1))
    return name, attribute.values[0], {catalogue.items.ids[row] for row in rows}


def encoded(catalogue, manifest, text):
    width = manifest.dimension + sum(task.width for task in manifest.text_tasks)
    return {text: np.arange(width, dtype=np.float32)}


def parts_of(slate):
    return [part.take(slate.places, axis=0) for part in slate.columns.parts]


def retrieved(catalogue, limit=1_000, filters=(), hidden=(), seed=0):
    vector = np.random.default_rng(seed).normal(size=catalogue.items.vectors.shape[1]).astype(np.float32)
    return catalogue.nearest(vector, limit, dict(filters), frozenset(hidden)).tolist()


def test_a_filter_keeps_the_items_that_carry_a_value(catalogue, category):
    name, value, ids = category
    rows = retrieved(catalogue, filters={name: (value,)})
    assert {catalogue.items.ids[row] for row in rows} == ids


def test_a_value_that_no_item_has_keeps_none(catalogue, category):
    assert retrieved(catalogue, filters={category[0]: ("no such value",)}) == []


def test_a_second_filter_keeps_some_of_the_first_ones_items(catalogue, category):
    name, value, ids = category
    other, attribute = next(
        (other, each) for other, each in catalogue.items.attributes.items() if other != name
    )
    some = attribute.values[::2]
    rows = retrieved(catalogue, filters={name: (value,), other: some})
    carriers = {catalogue.items.ids[row] for row in attribute.rows(some)}
    assert {catalogue.items.ids[row] for row in rows} == ids & carriers != ids


def test_hidden_ids_are_left_out_and_unknown_ones_do_not_matter(catalogue):
    first = catalogue.items.ids[0]
    rows = retrieved(catalogue, hidden=(first, "no such item"))
    assert rows == list(range(1, len(catalogue)))


@given(st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_hidden_ids_make_room_for_the_next_best(catalogue, limit, seed):
    best = retrieved(catalogue, 2 * limit, seed=seed)
    hidden = [catalogue.items.ids[row] for row in retrieved(catalogue, limit, seed=seed)]
    rest = retrieved(catalogue, limit, hidden=hidden, seed=seed)
    assert sorted(rest + [catalogue.items.rows[item] for item in hidden]) == best


def test_a_filter_of_candidates_agrees_with_that_of_the_catalogue(catalogue, category):
    name, value, ids = category
    given = Candidates(catalogue.items.ids)
    passing = catalogue.passing(given, catalogue.places(given.ids), {name: (value,)})
    assert set(given.kept(passing).ids) == ids


def test_a_cold_item_passes_by_its_own_attributes(catalogue, category):
    name, value, _ = category
    given = Candidates.of([Described("fits", "text", {name: (value,)}), Described("not", "text")])
    rows = catalogue.places(given.ids)
    assert catalogue.passing(given, rows, {name: (value,)}).tolist() == [True, False]
    assert catalogue.passing(given, rows, {}).tolist() == [True, True]


def test_an_unknown_candidate_never_passes(catalogue):
    given = Candidates(("no such item", catalogue.items.ids[0]))
    assert catalogue.passing(given, catalogue.places(given.ids), {}).tolist() == [False, True]
    assert given.known(catalogue.places(given.ids)) == [catalogue.items.ids[0]]


@given(st.integers(1, 80), st.integers(0, 2**32 - 1))
def test_retrieval_is_exact(catalogue, manifest, limit, seed):
    vector = np.random.default_rng(seed).normal(size=manifest.dimension).astype(np.float32)
    rows = catalogue.nearest(vector, limit, {}, frozenset())
    products = catalogue.items.vectors @ vector
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(rows) == min(limit, len(catalogue))
    assert products[rows].min() >= np.sort(products)[-len(rows)]


def slate(catalogue, given, vectors):
    return catalogue.slate(given, catalogue.places(given.ids), vectors)


def test_a_slate_keeps_the_order_of_known_and_cold_items(catalogue, manifest):
    ids = catalogue.items.ids
    given = Candidates.of([ids[2], Described("new", "red hat", published=5.0), ids[0]])
    found = slate(catalogue, given, encoded(catalogue, manifest, "red hat"))
    assert list(found.ids) == [ids[2], "new", ids[0]]
    parts = parts_of(found)
    for part, stored in zip(parts, catalogue.items.parts, strict=True):
        assert np.array_equal(part[0], stored[2])
    assert np.array_equal(parts[0][1], np.arange(manifest.dimension))
    assert found.published[1] == 5.0
    assert found.outputs(np.array([1]))[0, 0] == manifest.dimension
    for name, attribute in catalogue.items.attributes.items():
        assert np.array_equal(
            found.codes(name)[[0, 2]][:, : attribute.codes.shape[1]], attribute.codes[[2, 0]]
        )
        assert (found.codes(name)[1] == -1).all()


def test_a_cold_item_without_a_time_has_none(catalogue, manifest):
    found = slate(
        catalogue, Candidates.of([Described("new", "red hat")]), encoded(catalogue, manifest, "red hat")
    )
    assert math.isnan(found.published[0])


def test_text_wins_over_the_catalogue(catalogue, manifest):
    item = catalogue.items.ids[3]
    found = slate(
        catalogue, Candidates.of([Described(item, "red hat")]), encoded(catalogue, manifest, "red hat")
    )
    parts = parts_of(found)
    assert np.array_equal(parts[0][0], np.arange(manifest.dimension))


@pytest.fixture
def changing(bundle, manifest, scorer):
    """A catalogue that a test may change."""
    return Catalogue(Bundle.open(bundle).items, manifest, scorer.parts)


def row_of(manifest, seed):
    """What a text may be encoded to: a vector of unit length, and outputs."""
    width = manifest.dimension + sum(task.width for task in manifest.text_tasks)
    row = np.random.default_rng(seed).normal(size=width).astype(np.float32)
    row[: manifest.dimension] /= np.linalg.norm(row[: manifest.dimension])
    return row


def ids_of(catalogue, rows):
    return catalogue.named(np.array(rows, dtype=np.int64))


def test_an_item_that_was_put_is_retrieved_and_a_candidate(changing, manifest, scorer, category):
    name, value, ids = category
    row = row_of(manifest, 1)
    changing.put(Described("new", "text", {name: (value,)}, published=7.0), row)
    best = changing.nearest(row[: manifest.dimension], 1, {}, frozenset())
    assert ids_of(changing, best) == ["new"]
    assert len(changing) == len(changing.items) + 1
    assert {*ids_of(changing, retrieved(changing, filters={name: (value,)}))} == ids | {"new"}
    given = Candidates(("new", changing.items.ids[0], "unknown"))
    rows = changing.places(given.ids)
    assert given.known(rows) == ["new", changing.items.ids[0]]
    assert changing.passing(given, rows, {name: (value,)}).tolist()[0]
    assert not changing.passing(given, rows, {name: ("other",)})[0]
    slate = changing.stored(rows[:2])
    assert list(slate.ids) == ["new", changing.items.ids[0]]
    parts = parts_of(slate)
    assert np.array_equal(parts[0][0], row[: manifest.dimension])
    for part, made in zip(parts, scorer.parts(row[None, : manifest.dimension]), strict=True):
        assert np.array_equal(part[0], made[0])
    assert np.array_equal(slate.outputs(np.array([0]))[0], row[manifest.dimension :])
    for part, stored in zip(parts, changing.items.parts, strict=True):
        assert np.array_equal(part[1], stored[0])
    assert slate.published[0] == 7.0


def test_a_value_that_the_bundle_does_not_know_filters_what_was_put(changing, manifest, category):
    name, _, _ = category
    changing.put(Described("new", "text", {name: ("brand new",)}), row_of(manifest, 1))
    assert ids_of(changing, retrieved(changing, filters={name: ("brand new",)})) == ["new"]
    code = changing.codes(name, changing.places(["new"]))[0, 0]
    assert len(changing.items.attributes[name].values) <= code < changing.values(name)


def test_an_item_of_the_bundle_is_replaced_whole(changing, manifest):
    item = changing.items.ids[3]
    changing.put(Described(item, "text"), row_of(manifest, 2))
    rows = retrieved(changing)
    assert 3 not in rows
    assert ids_of(changing, rows).count(item) == 1
    assert np.array_equal(
        changing.vectors(changing.places([item]))[0], row_of(manifest, 2)[: manifest.dimension]
    )
    assert changing.bundled(changing.places([item, changing.items.ids[4]])).tolist() == [3, 4]
    assert len(changing) == len(changing.items)
    assert retrieved(changing, hidden=[item]) == [row for row in range(len(changing)) if row != 3]


def test_a_deleted_item_is_no_candidate_and_a_history_of_the_bundle_keeps_it(changing, manifest):
    item = changing.items.ids[3]
    changing.put(Described("new", "text"), row_of(manifest, 3))
    for name in (item, "new", "never there"):
        changing.delete(name)
    assert changing.places([item, "new", "never there"]).tolist() == [-1, -1, -1]
    assert changing.row(item) == 3
    assert changing.row("new") is None
    assert retrieved(changing) == [row for row in range(len(changing.items)) if row != 3]
    assert len(changing) == len(changing.items) - 1


def test_a_signature_changes_with_the_vector_alone(changing, manifest):
    item = changing.items.ids[0]
    before = changing.signatures(np.array([0, 1]))
    assert before.tolist() == [0, 1]
    changing.put(Described(item, "text"), row_of(manifest, 4))
    once = changing.signatures(changing.places([item]))
    changing.put(Described(item, "text", published=5.0), row_of(manifest, 4))
    assert changing.signatures(changing.places([item])) == once != before[0]


names = st.sampled_from(["first", "second", "new", "newer"])  # two of them become ids of the bundle
changes = st.lists(st.tuples(st.sampled_from(["put", "delete"]), names, st.integers(0, 3)), max_size=12)


@settings(max_examples=50, deadline=None)
@given(changes)
def test_whatever_is_put_and_deleted_the_catalogue_holds_what_a_dict_would(bundle, manifest, scorer, order):
    items = Bundle.open(bundle).items
    catalogue = Catalogue(items, manifest, scorer.parts)
    model = dict(zip(items.ids, items.vectors, strict=True))
    called = {"first": items.ids[0], "second": items.ids[1]}
    for what, name, seed in order:
        item = called.get(name, name)
        if what == "put":
            catalogue.put(Described(item, "text"), row_of(manifest, seed))
            model[item] = row_of(manifest, seed)[: manifest.dimension]
        else:
            catalogue.delete(item)
            model.pop(item, None)
    ids = ids_of(catalogue, retrieved(catalogue))
    assert sorted(ids) == sorted(model)
    assert len(catalogue) == len(model)
    assert sorted(catalogue.ids) == sorted(model)
    asked = [*items.ids[:3], "new", "newer"]
    rows = catalogue.places(asked)
    assert [item in catalogue for item in asked] == [item in model for item in asked]
    assert list(Candidates(tuple(asked)).known(rows)) == [item for item in asked if item in model]
    for item, vector in zip(ids, catalogue.vectors(catalogue.places(ids)), strict=True):
        assert np.array_equal(vector, model[item])
    some = frozenset(asked[:2])
    assert sorted(ids_of(catalogue, retrieved(catalogue, hidden=some))) == sorted({*model} - some)
