import numpy as np

from model_store.clock import DAYPARTS, Clock
from training.shop.catalogue import START
from training.shop.shoppers import CHUNK, RHYTHMS, Appetite, Visits, visit
from training.shop.vocabulary import Vocabulary


def test_a_shopper_likes_two_to_four_categories_and_dislikes_two_or_three(appetite: Appetite):
    taste = appetite.shoppers.tastes["category"]
    assert set((taste > 0.5).sum(axis=1).tolist()) == {2, 3, 4}
    assert set((taste < -0.5).sum(axis=1).tolist()) == {2, 3}


def test_a_shopper_knows_two_liked_brands_and_a_disliked_one(appetite: Appetite):
    brands = appetite.shoppers.tastes["brand"]
    assert ((brands == 1).sum(axis=1) == 2).all()
    assert ((brands == -1).sum(axis=1) == 1).all()


def test_each_part_of_the_day_makes_people_fancy_three_of_its_categories(
    words: Vocabulary, appetite: Appetite
):
    assert (appetite.shoppers.wants.sum(axis=2) == 3).all()
    for part, category in np.argwhere(appetite.shoppers.wants.any(axis=0)).tolist():
        assert words.category[category].daypart == DAYPARTS[part]


def test_people_come_at_their_part_of_the_day(appetite: Appetite, visits: Visits):
    rhythm = appetite.shoppers.rhythm[visits.user]
    for part in range(len(RHYTHMS)):
        came = np.bincount(visits.part[rhythm == part], minlength=len(DAYPARTS))
        assert came.argmax() == part


def test_visits_are_in_order_and_their_part_is_that_of_the_clock(visits: Visits):
    assert (np.diff(visits.day) >= 0).all()
    seconds = START.timestamp() + visits.day * 86_400
    assert (Clock("UTC").bucket(seconds, "daypart") == visits.part).all()


def test_weekends_are_busier(appetite: Appetite):
    day = visit(np.random.default_rng(0), appetite.shoppers, visits=5000, days=14).day.astype(int)
    weekday = np.bincount(day % 7)
    assert weekday[5:].min() > weekday[:5].max()


def test_chunks_cover_every_visit_once(visits: Visits):
    chunks = [visits[rows] for rows in visits.chunks()]
    assert [len(chunk) for chunk in chunks] == [CHUNK, CHUNK, len(visits) - 2 * CHUNK]
    assert (np.concatenate([chunk.day for chunk in chunks]) == visits.day).all()


def test_lasting_and_passing_make_everything(appetite: Appetite, visits: Visits):
    some = visits[slice(0, 50)]
    items = np.tile(np.arange(400), (50, 1))
    everything = appetite.everything(some)
    live = np.isfinite(everything)
    both = appetite.lasting(some, items) + appetite.passing(some, items)
    np.testing.assert_allclose(everything[live], both[live])
    assert (live == (appetite.catalogue.published <= some.day[:, None])).all()


def test_the_same_person_fancies_other_things_at_another_hour(appetite: Appetite):
    evening = DAYPARTS.index("evening")
    wanted = int(np.flatnonzero(appetite.shoppers.wants[0, evening])[0])
    item = np.flatnonzero(appetite.catalogue.facet("category") == wanted)[:1]
    hours = Visits(np.zeros(4, dtype=np.int64), np.full(4, 1.0), np.arange(4))
    passing = appetite.passing(hours, np.tile(item, (4, 1)))[:, 0]
    assert passing.argmax() == evening
    assert passing[evening] - passing[DAYPARTS.index("morning")] > 1
