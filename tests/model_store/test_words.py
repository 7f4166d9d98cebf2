import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.words import ASKED, HEAD, LIMIT, MATCHES, MOST, Wording, shingled, split

CATALOGUE = (
    "Red Ceramic Mug",
    "Blue mugs, set of 4",
    "Steel angle 12-gauge",
    "DeckOver 1-gal. coating",
    "",
)
TEXTS = st.text(st.sampled_from("abcé 12-_ßİ日本"), max_size=40)


@pytest.fixture(scope="module")
def wording():
    return Wording.of(CATALOGUE)


def matched(wording, query):
    """measure -> what is said of each item."""
    return dict(zip(MATCHES, wording.asked(query).matched(wording.rows), strict=True))


def told(wording, query):
    return dict(zip(ASKED, wording.asked(query).told().tolist(), strict=True))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("DeckOver 1-gal. #SC-141", ["deckover", "1", "gal", "sc", "141"]),
        ("BLACK+DECKER 18V", ["black", "decker", "18", "v"]),
        ("Größe STRASSE_eins", ["grösse", "strasse", "eins"]),
        ("東京タワー mug", ["東", "京", "タ", "ワ", "ー", "mug"]),
        (" - ", []),
    ],
)
def test_words_are_letters_or_digits_in_one_case_and_of_cjk_each_sign(text, words):
    assert split(text) == words


def test_the_share_of_the_words_that_an_item_has(wording):
    assert matched(wording, "red mug mat")["words"].tolist() == pytest.approx([2 / 3, 0, 0, 0, 0])


def test_a_rare_word_weighs_more_than_a_common_one():
    wording = Wording.of(["red mug", "red cup", "red hat", "mug"])
    assert matched(wording, "red hat")["idf"].tolist() == pytest.approx(
        [share := np.log(5 / 4) / (np.log(5 / 4) + np.log(5 / 2)), share, 1.0, 0.0]
    )


def test_letters_in_threes_find_another_form_of_a_word(wording):
    found = matched(wording, "mugs")
    assert found["words"].tolist() == [0, 1, 0, 0, 0]
    assert found["grams"].tolist() == pytest.approx([2 / 4, 1, 0, 0, 0])  # <mu mug of <mu mug ugs gs>
    assert found["missed"] == pytest.approx((1 - found["grams"]) * np.log(6 / 2))


def test_least_is_the_word_that_an_item_has_least_of(wording):
    found = matched(wording, "red mugs")
    assert found["least"].tolist() == pytest.approx([1 / 2, 0, 0, 0, 0])
    assert (found["first"][0], found["last"][0], found["last_word"][0]) == pytest.approx((1, 1 / 2, 0))


def test_pairs_and_the_end_tell_of_order(wording):
    assert matched(wording, "ceramic mug")["pairs"].tolist() == [1, 0, 0, 0, 0]
    assert matched(wording, "mug ceramic")["pairs"].tolist() == [0, 0, 0, 0, 0]
    assert matched(wording, "mug holder")["end"].tolist() == [1, 0, 0, 0, 0]
    assert matched(wording, "ceramic holder")["end"].tolist() == [0, 0, 0, 0, 0]


def test_numbers_that_an_item_lacks(wording):
    assert matched(wording, "12 14 angle")["lacks_number"].tolist() == [1, 1, 1 / 2, 1, 1]
    assert not matched(wording, "angle")["lacks_number"].any()


def test_the_share_of_an_item_that_was_asked_for(wording):
    found = matched(wording, "mug mug red")
    assert found["of_item"].tolist() == pytest.approx([2 / 3, 0, 0, 0, 0])
    assert found["item_words"] == pytest.approx(np.log1p([3, 5, 4, 4, 1]))


def test_a_query_is_told_by_its_length_and_by_how_rare_its_words_are(wording):
    found = told(wording, "red mug")
    assert found == pytest.approx(
        {"words": np.log(3), "letters": np.log(7), "rarest": np.log(6 / 2), "rarity": np.log(6 / 2)}
    )
    assert told(wording, "red unheardof")["rarest"] == pytest.approx(np.log(6))


@pytest.mark.parametrize("query", ["", " ", "-!"])
def test_a_query_without_a_word_says_nothing(wording, query):
    assert not wording.asked(query).matched(wording.rows).any()
    assert not wording.asked(query).told().any()


def test_a_long_query_is_its_first_words_and_a_long_text_its_first_hashes_and_its_end():
    words = [f"w{chr(97 + n % 26)}{chr(97 + n // 26)}x" for n in range(200)]
    wording = Wording.of([" ".join(words)])
    assert wording.rows.shape == (1, HEAD + LIMIT)
    assert wording.rows[0, :HEAD].tolist() == [LIMIT, len(words)]
    assert len(wording.asked(" ".join(words)).words) == MOST
    found = matched(wording, f"{words[-1]} {words[0]}")
    assert (found["end"], found["words"]) == (1, 1 / 2)


@given(st.lists(TEXTS, min_size=1, max_size=6), TEXTS)
def test_all_is_finite_and_shares_are_shares(texts, query):
    wording = Wording.of(texts)
    found = matched(wording, query)
    assert all(np.isfinite(values).all() for values in found.values())
    for measure in set(MATCHES) - {"missed", "item_words"}:
        assert ((found[measure] >= 0) & (found[measure] <= 1 + 1e-12)).all(), measure


@given(TEXTS, TEXTS)
def test_a_text_has_all_of_its_own_first_words(text, more):
    wording = Wording.of([f"{text} {more}"])
    asked = wording.asked(text)
    if asked.words:
        found = dict(zip(MATCHES, asked.matched(wording.rows)[:, 0], strict=True))
        assert (found["words"], found["grams"], found["least"], found["missed"]) == (1, 1, 1, 0)


@given(st.lists(TEXTS, min_size=1, max_size=8), TEXTS, st.randoms())
def test_what_is_said_of_an_item_is_the_same_alone_and_among_others_bit_for_bit(texts, query, random):
    wording = Wording.of(texts)
    asked, order = wording.asked(query), random.sample(range(len(texts)), len(texts))
    found = asked.matched(wording.rows)
    np.testing.assert_array_equal(asked.matched(wording.taken(np.array(order)).rows), found[:, order])
    for place, text in enumerate(texts):
        np.testing.assert_array_equal(asked.matched(shingled([text]))[:, 0], found[:, place])
        padded = shingled([text], HEAD + LIMIT)
        np.testing.assert_array_equal(asked.matched(padded)[:, 0], found[:, place])
