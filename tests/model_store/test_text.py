from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.bundle import Bundle
from model_store.manifest import TextField
from model_store.text import TextTokenizer, render

TITLE, BRAND = TextField(name="title"), TextField(name="brand", label="brand")


@pytest.fixture(scope="module")
def file(bundle: Path):
    return Bundle.open(bundle).path("tokenizer.json")


@pytest.fixture(scope="module")
def tokenizer(file):
    return TextTokenizer.open(file, 12)


# render


def test_fields_stand_in_the_order_of_the_template_whatever_the_order_of_the_record():
    assert render([BRAND, TITLE], {"title": "Mug", "brand": "Acme"}) == "brand: Acme. Mug"


@pytest.mark.parametrize("missing", [None, "", "  \n", float("nan"), [], ["", None]])
def test_a_missing_value_leaves_neither_label_nor_full_stop(missing):
    assert render([TITLE, BRAND], {"title": "Mug", "brand": missing}) == "Mug"
    assert render([TITLE, BRAND], {"title": "Mug"}) == "Mug"


def test_a_record_without_any_value_is_an_empty_text():
    assert render([TITLE, BRAND], {"colour": "red"}) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [("a\tb\n c ", "a b c"), (3, "3"), (3.0, "3"), (3.5, "3.5"), (True, "True"), (["x", "y z"], "x, y z"),
     ((1, 2.0), "1, 2")],
)  # fmt: skip
def test_every_kind_of_value_has_its_words(value, text):
    assert render([TITLE], {"title": value}) == text


def test_a_number_read_from_json_and_from_a_float_column_gives_the_same_text():
    assert render([TITLE], {"title": 1987}) == render([TITLE], {"title": 1987.0})


@settings(deadline=None)
@given(st.text())
def test_white_space_around_words_never_matters(text):
    words = text.split()
    assert render([TITLE], {"title": text}) == " ".join(words)
    assert render([TITLE], {"title": "\n ".join(words)}) == " ".join(words)


# tokenizer


def test_a_long_text_is_cut_to_max_tokens_and_keeps_its_ends(tokenizer):
    short, long = tokenizer.encode("red"), tokenizer.encode("red blue " * 50)
    assert len(long) == 12
    assert (long[0], long[-1]) == (short[0], short[-1])


def test_what_the_vocabulary_lacks_is_one_token(tokenizer):
    assert tokenizer.unknown in tokenizer.encode("手机")
    assert tokenizer.unknown not in tokenizer.encode("red")


def test_a_batch_is_not_padded_and_equals_each_text_alone(tokenizer):
    texts = ["", "red", "red running shoes", "blue " * 40]
    batch = tokenizer.encode_batch(texts)
    assert [ids.dtype for ids in batch] == [np.int64] * 4
    for text, ids in zip(texts, batch, strict=True):
        np.testing.assert_array_equal(ids, tokenizer.encode(text))


def test_padding_and_truncation_of_the_file_do_not_matter(file, tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    opened = TextTokenizer.open(tmp_path / "tokenizer.json", 30)
    assert len(opened.encode("red " * 60)) == 30


@settings(deadline=None)
@given(st.text())
def test_any_text_has_its_two_ends_and_at_most_max_tokens(tokenizer, text):
    assert 2 <= len(tokenizer.encode(text)) <= 12


def test_sixteen_threads_get_the_ids_that_one_gets(tokenizer):
    texts = [f"red {'running ' * (number % 20)} shoes {number}" for number in range(400)]
    alone = [tokenizer.encode(text).tolist() for text in texts]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda text: tokenizer.encode(text).tolist(), texts * 4))
    assert together == alone * 4
