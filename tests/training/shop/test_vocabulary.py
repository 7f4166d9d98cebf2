from itertools import chain

from model_store.clock import DAYPARTS
from training.shop.vocabulary import Vocabulary, vocabulary


def test_the_words_are_read_once():
    assert vocabulary() is vocabulary()


def test_there_are_twenty_categories_of_five_kinds(words: Vocabulary):
    assert [len(category.kinds) for category in words.category] == [5] * 20


def test_no_name_stands_for_two_kinds(words: Vocabulary):
    names = [name for c in words.category for kind in c.kinds for name in (kind.name, *kind.also)]
    assert len({name.lower() for name in names}) == len(names)


def test_other_names_of_a_kind_have_its_number(words: Vocabulary):
    for kind in chain.from_iterable(category.kinds for category in words.category):
        assert {kind.plural} == {name.endswith("s") and not name.endswith("ss") for name in kind.also}, (
            kind.name
        )


def test_every_brand_has_one_price_level_and_a_category_that_sells_it(words: Vocabulary):
    listed = list(chain.from_iterable(words.brands.values()))
    assert len(set(listed)) == len(listed)
    assert set(listed) == set(chain.from_iterable(category.brands for category in words.category))


def test_what_a_category_refers_to_exists(words: Vocabulary):
    for category in words.category:
        assert category.palette in words.palettes
        assert set(category.styles) <= set(words.styles)
        assert category.daypart in {None, *DAYPARTS}


def test_every_part_of_the_day_has_three_categories_to_fancy(words: Vocabulary):
    dayparts = [category.daypart for category in words.category]
    assert all(dayparts.count(part) >= 3 for part in DAYPARTS)


def test_a_word_of_one_facet_is_no_word_of_another(words: Vocabulary):
    colours = set(chain.from_iterable(words.palettes.values()))
    materials = set(chain.from_iterable(category.materials for category in words.category))
    prices = {*words.queries.budget, *words.queries.premium}
    facets = (colours, materials, prices, set(words.styles), set(words.tiers))
    assert len(set.union(*facets)) == sum(map(len, facets))
