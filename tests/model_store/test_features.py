import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.clock import Clock
from model_store.counters import Statistics
from model_store.features import FeatureSet
from model_store.items import OTHER, Attribute
from model_store.manifest import Features, Scale
from model_store.moment import Met, Moment
from model_store.names import COMPARED, KINDS

CLOCK = Clock("Europe/Copenhagen")
NOON = 1_705_316_400.0  # Monday 2024-01-15 12:00 in Copenhagen
PLAIN = (
    "hour", "weekday", "item_age", "since_last", "history_size", "candidates", "again", "shown", "share:brand",
    "count:click", "count:click+view:1h", "rate:click/view", "rate:click/view:7d", "since:click",
    "since:click+view", "number:price", "latest:stock", "context:device", "is:brand", "habit:click",
    "appeal:7d", "mood:3", "taste:brand", "match:idf", "query:rarest",
)  # fmt: skip
ALL = (*PLAIN, *(f"list:{name}" for name in PLAIN if name.partition(":")[0] in COMPARED))
MEASURED = {
    "windows": ("1h", "7d"), "rates": {"click/view": 0.05}, "words": {"device": ("desktop", "phone")},
    "values": {"brand": ("acme", "bolt")},
    "scales": {"number:price": Scale(mean=3, std=0.5, log=True), "latest:stock": Scale(mean=10, std=4)},
    "grades": {"click": 1.0, "view": 0.0}, "usual_grade": 0.25,
}  # fmt: skip
NAN = np.nan


def features(*use, **measured) -> FeatureSet:
    return FeatureSet(Features(use=use, **MEASURED | measured), CLOCK)


def counted(rows, **known) -> Statistics:
    """Statistics of click and view in two windows."""
    nothing = {
        "counts": np.zeros((rows, 2, 2)), "last": np.full((rows, 2), NAN), "first": np.full(rows, NAN),
        "latest": np.full((rows, 1), NAN),
    }  # fmt: skip
    return Statistics(**nothing | known)


def moment(rows=1, **known) -> Moment:
    nothing = {
        "now": np.full(rows, NOON), "published": np.full(rows, NAN), "last_event": np.full(rows, NAN),
        "sizes": np.zeros(rows), "statistics": counted(rows), "shares": {"brand": np.full(rows, NAN)},
        "shown": Met(np.zeros(rows), np.full(rows, NAN)), "again": Met(np.zeros(rows), np.full(rows, NAN)),
        "numbers": {"price": np.full(rows, NAN)}, "words": {"device": np.full(rows, -1)},
        "kinds": {"brand": np.full((rows, 1), OTHER)}, "habits": {"click": np.full(rows, NAN)},
        "moods": {"3": np.zeros(rows)}, "tastes": {"brand": np.zeros(rows)},
        "matches": {"idf": np.zeros(rows)}, "queries": {"rarest": np.zeros(rows)},
    }  # fmt: skip
    return Moment(**nothing | known)


def some(rows, seed=0, gaps=0.3, **known) -> Moment:
    """A moment of many candidates of which much is known, and of some nothing."""
    random = np.random.default_rng(seed)

    def told(values, shape=()):
        return np.where(random.random((rows, *shape)) < gaps, NAN, values((rows, *shape)))

    def times(shape):
        return NOON - random.exponential(1e5, shape)

    counts = random.integers(0, 30, (rows, 2, 2)).astype(np.float64) * (random.random((rows, 1, 1)) > gaps)
    last = told(times)
    return moment(rows, **{
        "published": told(times), "last_event": told(times), "sizes": random.integers(0, 50, rows),
        "shares": {"brand": told(lambda shape: random.integers(0, 5, shape) / 7)},
        "statistics": Statistics(counts, told(times, (2,)), told(times), told(random.normal, (1,))),
        "shown": Met(np.where(np.isnan(last), 0, random.integers(1, 9, rows)), last),
        "numbers": {"price": told(random.exponential)}, "words": {"device": random.integers(-1, 2, rows)},
        "kinds": {"brand": random.choice([OTHER, 0, 1], (rows, 2))}, "habits": {"click": told(random.random)},
        "moods": {"3": random.normal(size=rows)}, "tastes": {"brand": random.normal(size=rows)},
        "matches": {"idf": random.random(rows)}, "queries": {"rarest": random.exponential(size=rows)},
    } | known)  # fmt: skip


def told(name, rows=1, **known):
    """The columns of one feature."""
    return features(name).matrix(moment(rows, **known))


def part(known: Moment, rows) -> Moment:
    """Some of the candidates, as one list."""

    def cut(value):
        if isinstance(value, dict):
            return {name: each[rows] for name, each in value.items()}
        if isinstance(value, (Statistics, Met)):
            return type(value)(*(each[rows] for each in vars(value).values()))
        return value[rows]

    return Moment(
        **{name: cut(value) for name, value in vars(known).items() if name not in ("starts", "lengths")}
    )


# the matrix


def test_every_kind_of_feature_is_tested_here():
    assert {name.kind for name in features(*ALL).names} == {*KINDS}
    assert {name.kind for name in features(*ALL).names if name.listed} == {*COMPARED}


@pytest.mark.parametrize("name", ALL)
def test_the_width_and_the_columns_are_those_of_the_matrix(name):
    found = features(name)
    matrix = found.matrix(some(5))
    assert found.columns == (name,) * found.width
    assert matrix.shape == (5, found.width)
    assert matrix.dtype == np.float32


def test_the_features_stand_in_the_order_in_which_they_are_declared():
    known, found = some(9), features(*reversed(ALL))
    assert found.columns == tuple(name for name in reversed(ALL) for _ in range(features(name).width))
    alone = [
        features(name).matrix(part(known, slice(None))) for name in ("since:click", "hour", "list:shown")
    ]
    for name, matrix in zip(("since:click", "hour", "list:shown"), alone, strict=True):
        columns = [column == name for column in found.columns]
        np.testing.assert_array_equal(found.matrix(known)[:, columns], matrix)


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(0, 99), st.sampled_from([0.0, 0.5, 0.9, 1.0]))
def test_every_column_is_finite_whatever_is_missing(rows, seed, gaps):
    assert np.isfinite(features(*ALL).matrix(some(rows, seed, gaps))).all()


def test_of_a_candidate_of_which_nothing_is_known_each_optional_feature_says_so_and_nothing_else():
    found = features(*ALL)
    matrix = dict(zip(found.names, np.split(found.matrix(moment(2)), _ends(found), axis=1), strict=False))
    for name, columns in matrix.items():
        if name.optional:
            assert (columns[:, -1] == 1).all(), name
            assert {*columns[:, :-1].ravel()} <= ({0, 0.5} if name.listed else {0}), name


def _ends(found):
    return np.cumsum([features(name.written).width for name in found.names])


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(20)), st.integers(0, 99))
def test_the_order_of_the_candidates_is_the_order_of_the_rows_and_changes_nothing_else(order, seed):
    known, found = some(20, seed), features(*ALL)
    np.testing.assert_array_equal(found.matrix(part(known, order)), found.matrix(known)[order])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(0, 99))
def test_lists_made_at_once_are_as_each_alone_bit_for_bit(sizes, seed):
    starts, found = np.cumsum([0, *sizes[:-1]]), features(*ALL)
    known = some(sum(sizes), seed, starts=starts)
    rows = np.split(np.arange(sum(sizes)), starts[1:])
    alone = [found.matrix(part(known, each)) for each in rows]
    np.testing.assert_array_equal(found.matrix(known), np.concatenate(alone))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.booleans(), st.integers(0, 99))
def test_the_context_is_the_matrix_in_two_parts_bit_for_bit(sizes, apart, seed):
    """Candidates of an asker are a list, or each is one of its own."""
    firsts, found = np.cumsum([0, *sizes[:-1]]), features(*ALL)
    owners = np.repeat(np.arange(len(sizes)), sizes)
    many, few = some(sum(sizes), seed), some(len(sizes), seed)
    shared = {name: getattr(few, name)[owners] for name in ("now", "last_event", "sizes")}
    shared |= {
        name: {each: told[owners] for each, told in getattr(few, name).items()}
        for name in ("habits", "moods", "words", "queries")
    }
    known = Moment(**vars(many) | shared | {"starts": np.arange(sum(sizes)) if apart else firsts})
    context, matrix = found.context(known, firsts), found.matrix(known)
    np.testing.assert_array_equal(context.shared, matrix[firsts][:, found.shared])
    np.testing.assert_array_equal(context.own, matrix[:, found.own])
    np.testing.assert_array_equal(found.rows(context.shared[owners], context.own), matrix)


def test_an_item_has_a_1_for_each_known_value_and_in_the_first_column_if_it_has_none():
    brands = Attribute.of([["bolt"], ["acme", "bolt"], ["zinc"], []])
    known = moment(4, kinds={"brand": brands.places(("acme", "bolt"))[brands.codes]})
    assert features("is:brand").matrix(known).tolist() == [[0, 0, 1], [0, 1, 1], [1, 0, 0], [1, 0, 0]]


def test_no_item_has_a_value_that_is_known_if_none_is():
    known = moment(2, kinds={"brand": np.array([[OTHER, OTHER], [OTHER, OTHER]])})
    assert features("is:brand", values={"brand": ()}).matrix(known).tolist() == [[1], [1]]


def test_a_habit_is_the_share_of_the_history_and_missing_without_one():
    known = moment(2, habits={"click": np.array([0.25, NAN])})
    assert features("habit:click").matrix(known).tolist() == [[0.25, 0], [0, 1]]


def test_the_appeal_of_an_item_is_what_its_events_say_over_the_usual_and_pulled_towards_it():
    counts = np.zeros((2, 2, 2))
    counts[0, :, 1] = [6, 4]  # clicks and views of 7 days
    found = features("appeal:7d").matrix(moment(2, statistics=counted(2, counts=counts)))
    np.testing.assert_allclose(found, [[(6 * 0.75 - 4 * 0.25) / (10 + 10)], [0.0]], rtol=1e-6)


def test_an_appeal_is_of_a_declared_window():
    with pytest.raises(ValueError, match="appeal:6h: 6h is not among the windows"):
        features("appeal:6h")


def test_what_all_candidates_share_need_be_told_only_once():
    shared = {"now": np.full(7, NOON), "last_event": np.full(7, NOON - 60), "sizes": np.full(7, 3.0)}
    device = {"device": np.full(7, 1)}
    once = {name: values[:1] for name, values in shared.items()} | {"words": {"device": device["device"][:1]}}
    many = features(*ALL).matrix(some(7, words=device, **shared))
    np.testing.assert_array_equal(features(*ALL).matrix(some(7, **once)), many)


# the moment


def test_noon_in_copenhagen_is_the_lowest_point_of_the_first_harmonic():
    np.testing.assert_allclose(told("hour")[0], [0, -1, 0, 1], atol=1e-6)


def test_the_weekday_is_the_same_all_day_long_and_another_after_local_midnight():
    midnight = NOON + 12 * 3600
    days = told("weekday", rows=3, now=np.array([NOON, midnight - 1, midnight]))
    np.testing.assert_array_equal(days[0], days[1])
    np.testing.assert_allclose(days[0], [0, 1], atol=1e-6)  # Monday
    assert (days[2] != days[0]).any()


@pytest.mark.parametrize(("name", "known"), [("item_age", "published"), ("since_last", "last_event")])
def test_an_unknown_time_is_0_with_a_1_beside_it_and_a_known_one_has_a_0_there(name, known):
    found = told(name, rows=3, **{known: np.array([NAN, NOON, NOON - 3600])})
    np.testing.assert_allclose(found, [[0, 1], [0, 0], [np.log(2) / 4, 0]], rtol=1e-6)


def test_an_item_of_tomorrow_is_as_old_as_one_of_now():
    assert told("item_age", published=np.array([NOON + 86_400]))[0].tolist() == [0, 0]


def test_an_item_without_a_time_is_as_old_as_its_first_event_and_one_with_a_time_is_not():
    seen = {"statistics": counted(2, first=np.full(2, NOON - 3600))}
    found = told("item_age", rows=2, published=np.array([NAN, NOON]), **seen)
    np.testing.assert_allclose(found, [[np.log(2) / 4, 0], [0, 0]], rtol=1e-6)


def test_the_age_of_an_item_needs_no_statistics():
    assert told("item_age", statistics=None)[0].tolist() == [0, 1]


def test_the_history_size_grows_by_its_logarithm():
    found = told("history_size", rows=2, sizes=np.array([0, 50.0]))
    np.testing.assert_allclose(found[:, 0], [0, np.log(51) / 4], rtol=1e-6)


def test_candidates_are_counted_by_list_up_to_the_most_that_training_saw():
    found = features("candidates", candidates=3).matrix(moment(8, starts=np.array([0, 1, 3])))
    np.testing.assert_allclose(found[:, 0], np.log1p([1, 2, 2, 3, 3, 3, 3, 3]) / 4, rtol=1e-6)


@pytest.mark.parametrize("name", ["again", "shown"])
def test_meetings_are_how_often_and_how_long_ago(name):
    found = told(name, rows=2, **{name: Met(np.array([2.0, 0]), np.array([NOON - 7200, NAN]))})
    np.testing.assert_allclose(found, [[np.log(3), np.log(3) / 4, 0], [0, 0, 1]], rtol=1e-6)


def test_a_share_is_told_as_it_is():
    found = told("share:brand", rows=2, shares={"brand": np.array([0.25, NAN])})
    assert found.tolist() == [[0.25, 0], [0, 1]]


def test_a_word_has_a_column_of_its_own_and_any_other_the_first():
    found = told("context:device", rows=3, words={"device": np.array([-1, 0, 1])})
    assert found.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_a_column_without_known_words_is_always_another_word():
    found = features("context:city").matrix(moment(1, words={"city": np.array([-1])}))
    assert found.tolist() == [[1]]


# what was counted of an item

COUNTS = np.array([[[1, 4], [10, 20]], [[0, 0], [0, 0]]], dtype=np.float64)  # click, view in 1h, 7d


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("count:click", [1, 4]),
        ("count:view", [10, 20]),
        ("count:click+view", [11, 24]),
        ("count:click:7d", [4]),
    ],
)
def test_a_count_is_the_logarithm_of_the_events_in_each_window(name, counts):
    use = features(name, "count:click+view")
    found = use.matrix(moment(2, statistics=counted(2, counts=COUNTS)))[:, : len(counts)]
    np.testing.assert_allclose(found, [np.log1p(counts), np.zeros(len(counts))], rtol=1e-6)


def test_a_rate_is_pulled_towards_the_usual_one_by_ten_tries():
    found = told("rate:click/view", rows=2, statistics=counted(2, counts=COUNTS))
    np.testing.assert_allclose(found[0], np.log(np.array([1.5 / 20, 4.5 / 30]) / 0.05), rtol=1e-6)


@settings(deadline=None)
@given(st.floats(1e-4, 1e3))
def test_a_rate_of_which_nothing_was_tried_is_exactly_0(usual):
    use = features("rate:click/view", rates={"click/view": usual})
    assert use.matrix(moment(1)).tolist() == [[0, 0]]


def test_since_is_the_newest_of_any_of_the_events():
    last = np.array([[NOON - 3600, NOON - 7200], [NAN, NOON], [NAN, NAN]])
    found = features("since:click", "since:click+view").matrix(moment(3, statistics=counted(3, last=last)))
    hour = np.log(2) / 4
    np.testing.assert_allclose(found, [[hour, 0, hour, 0], [0, 1, 0, 0], [0, 1, 0, 1]], rtol=1e-6)


def test_the_order_of_events_in_a_name_does_not_matter():
    known = some(5)
    one, other = (features(f"count:{name}").matrix(known) for name in ("click+view", "view+click"))
    np.testing.assert_array_equal(one, other)


# numbers


def test_a_number_is_so_many_spreads_from_the_mean_and_never_more_than_five():
    stock = counted(4, latest=np.array([[10.0], [12], [1e9], [NAN]]))
    assert told("latest:stock", rows=4, statistics=stock).tolist() == [[0, 0], [0.5, 0], [5, 0], [0, 1]]


def test_a_number_with_a_long_tail_is_scaled_by_its_logarithm():
    found = told("number:price", rows=2, numbers={"price": np.array([np.expm1(3.25), -4])})
    np.testing.assert_allclose(found, [[0.5, 0], [-5, 0]], rtol=1e-6)


# lists


def test_a_feature_of_a_list_has_rank_gap_and_lead_of_each_of_its_columns():
    known = moment(2, statistics=counted(2, counts=COUNTS))
    plain = features("count:click", "count:view").matrix(known)[:, :2].astype(np.float64)
    found = features("list:count:click", "count:view").matrix(known)
    for window in range(2):
        best, half = plain[0, window], plain[0, window] / 2
        forms = found[:, 3 * window : 3 * window + 3]
        np.testing.assert_allclose(forms, [[0, 0, half], [1, -best, -half]], rtol=1e-6)


def test_a_candidate_without_the_value_stands_in_the_middle_and_says_so():
    known = moment(3, shares={"brand": np.array([0.5, NAN, 0.25])})
    found = features("list:share:brand").matrix(known)
    assert found.tolist() == [[0, 0, 0.125, 0], [0.5, 0, 0, 1], [1, -0.25, -0.125, 0]]


def test_the_most_recent_meeting_is_the_last_of_a_list():
    met = Met(np.array([1.0, 1.0]), np.array([NOON, NOON - 3600]))
    ranks = features("list:shown").matrix(moment(2, shown=met))[:, 3]
    assert ranks.tolist() == [1, 0]


# what is declared


def test_what_has_to_be_known_is_told():
    found = features(
        "again", "share:brand", "list:shown", "number:price", "context:device", "latest:stock", "since:buy"
    )
    assert (found.again, found.shown) == (True, True)
    assert (found.attributes, found.numbers, found.words) == (("brand",), ("price",), MEASURED["words"])
    assert (found.layout.events, found.layout.latest) == (("buy",), ("stock",))
    assert features("hour").layout.empty
    assert not features("hour").shown | features("hour").again


def test_a_window_that_is_not_declared_is_refused():
    with pytest.raises(
        ValueError, match=r"count:click:2h: 2h is not among the windows; add it to features\.windows"
    ):
        features("count:click:2h")
    with pytest.raises(ValueError, match="'2s' is no window"):
        features("hour", windows=("2s",))


@pytest.mark.parametrize(
    ("name", "without", "lacks"),
    [("share:brand", {"shares": {}}, "the moment's shares lack 'brand'"),
     ("list:number:price", {"numbers": {}}, "the moment's numbers lack 'price'"),
     ("context:device", {"words": {}}, "the moment's words lack 'device'"),
     ("match:idf", {"matches": {}}, "the moment's matches lack 'idf'"),
     ("query:rarest", {"queries": {}}, "the moment's queries lack 'rarest'"),
     ("again", {"again": None}, "the moment does not say how often they met"),
     ("shown", {"shown": None}, "the moment does not say how often they met"),
     ("since:click", {"statistics": None}, "the moment has no statistics"),
     ("latest:stock", {"statistics": None}, "the moment has no statistics"),
     ("rate:click/buy", {}, "the declaration's rates lack 'click/buy'"),
     ("latest:price", {}, "the declaration's scales lack 'latest:price'")],
)  # fmt: skip
def test_what_a_feature_lacks_is_named(name, without, lacks):
    with pytest.raises(ValueError, match=f"^{name}: {lacks}"):
        features(name).matrix(moment(1, **without))
