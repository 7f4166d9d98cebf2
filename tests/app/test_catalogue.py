import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.candidates import Candidates, Described
from app.catalogue import Catalogue
from model_store.bundle import Bundle


@pytest.fixture(scope="session")
def manifest(bundle):
    return Bundle.open(bundle).manifest


@pytest.fixture(scope="session")
def catalogue(bundle, manifest):
    return Catalogue(Bundle.open(bundle).items, manifest)


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
    assert catalogue.known(given) == [catalogue.items.ids[0]]


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
    assert np.array_equal(found.vectors[0], catalogue.items.vectors[2])
    assert np.array_equal(found.vectors[1], np.arange(manifest.dimension))
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
    assert np.array_equal(found.vectors[0], np.arange(manifest.dimension))
