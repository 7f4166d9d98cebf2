import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.counters import layout
from model_store.items import NUMBERS, SHINGLES, STATISTICS, WORDS, Attribute, Items, read, write
from model_store.parts import Parts
from model_store.words import Wording

LAYOUT = layout(("click", "view"), ("1h", "7d"), ("price",))


def catalogue(count: int) -> Items:
    random = np.random.default_rng(0)
    return Items(
        ids=tuple(f"ø{number}" for number in range(count)),
        parts=Parts(*(random.normal(size=(count, width)).astype(np.float32) for width in (8, 12, 4, 4))),
        published=np.where(np.arange(count) % 2, np.nan, np.arange(count, dtype=np.float64)),
        attributes={
            "tags": Attribute.of([["b", "a"][: number % 3] for number in range(count)]),
            "brand": Attribute.of([[] for _ in range(count)]),
        },
        outputs=random.random((count, 3)).astype(np.float32),
        numbers={
            "price": np.where(np.arange(count) % 3, random.random(count), np.nan),
            "words": np.ones(count),
        },
        statistics=LAYOUT.count(count, np.arange(count), np.arange(count) % 2, 1e9 + random.random(count)),
        wording=Wording.of([f"mug number {number}" for number in range(count)]),
    )


@pytest.mark.parametrize("count", [1, 3, 5_000])  # the last one is mapped, not read
def test_what_is_written_is_read_bit_for_bit(tmp_path, count):
    items = catalogue(count)
    write(items, tmp_path, texts=["text"] * count)
    found = read(tmp_path)
    assert found.ids == items.ids
    for part, written in zip(found.parts, items.parts, strict=True):
        np.testing.assert_array_equal(part, written)
    np.testing.assert_array_equal(found.published, items.published)
    np.testing.assert_array_equal(found.outputs, items.outputs)
    assert list(found.numbers) == ["price", "words"]
    for name, numbers in items.numbers.items():
        np.testing.assert_array_equal(found.numbers[name], numbers)
    assert found.statistics.dtype == LAYOUT.dtype
    assert found.statistics.tobytes() == items.statistics.tobytes()
    for part, written in zip(vars(found.wording).values(), vars(items.wording).values(), strict=True):
        np.testing.assert_array_equal(part, written)
    assert list(found.attributes) == ["tags", "brand"]
    for name, attribute in items.attributes.items():
        assert found.attributes[name].values == attribute.values
        np.testing.assert_array_equal(found.attributes[name].codes, attribute.codes)


def test_vectors_of_a_large_catalogue_stay_on_disk(tmp_path):
    write(catalogue(5_000), tmp_path, texts=["text"] * 5_000)
    found = read(tmp_path)
    assert all(isinstance(part.base, np.memmap) for part in found.parts)
    assert isinstance(found.statistics.base, np.memmap)


def test_every_array_that_rows_are_read_from_is_looked_at_in_steps(tmp_path):
    write(catalogue(5_000), tmp_path, texts=["text"] * 5_000)
    arrays = sorted(tmp_path.glob("items.*.npy"))
    assert len(list(read(tmp_path).touched())) == len(arrays) - 1  # items.words.npy is a table of counts


@pytest.mark.parametrize("count", [3, 5_000])
def test_statistics_are_read_from_a_file_as_they_were_counted(tmp_path, count):
    items, now = catalogue(count), np.array([1e9 + 60])
    write(items, tmp_path, texts=["text"] * count)
    rows = np.array([2, 0, 1])
    told, known = (LAYOUT.read(each.statistics[rows], now) for each in (read(tmp_path), items))
    assert told.counts.sum() == 6  # an event of each of three items, in two windows
    for part, expected in zip(vars(told).values(), vars(known).values(), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_a_catalogue_without_numbers_words_and_counted_events_has_no_files_of_them(tmp_path):
    write(
        Items(("a",), Parts(*(np.zeros((1, 4), dtype=np.float32),) * 4), np.zeros(1)), tmp_path, texts=["a"]
    )
    assert not (tmp_path / NUMBERS).exists()
    assert not any((tmp_path / name).exists() for name in (STATISTICS, SHINGLES, WORDS))
    assert read(tmp_path).numbers == {}
    assert read(tmp_path).statistics is None
    assert read(tmp_path).wording is None


def test_a_missing_number_is_null_in_the_file(tmp_path):
    write(catalogue(3), tmp_path, texts=["text"] * 3)
    written = json.loads((tmp_path / NUMBERS).read_text())
    assert written["price"][0] is None
    assert written["words"] == [1.0, 1.0, 1.0]


def test_a_catalogue_without_item_only_tasks_has_outputs_of_no_width(tmp_path):
    items = Items(("a",), Parts(*(np.zeros((1, 4), dtype=np.float32),) * 4), np.zeros(1))
    write(items, tmp_path, texts=["a"])
    assert read(tmp_path).outputs.shape == (1, 0)


def test_the_texts_stand_beside_their_ids(tmp_path):
    write(catalogue(2), tmp_path, texts=["rød", "blå"])
    lines = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert lines == [{"item_id": "ø0", "text": "rød"}, {"item_id": "ø1", "text": "blå"}]


def test_texts_of_another_count_than_the_items_are_refused(tmp_path):
    with pytest.raises(ValueError, match="shorter"):
        write(catalogue(2), tmp_path, texts=["one"])


def test_an_id_leads_to_its_row():
    assert catalogue(3).rows == {"ø0": 0, "ø1": 1, "ø2": 2}


def test_codes_point_into_the_sorted_values_and_are_padded_with_minus_1():
    attribute = Attribute.of([["b", "a"], [], ["c"]])
    assert attribute.values == ("a", "b", "c")
    assert attribute.codes.tolist() == [[1, 0], [-1, -1], [2, -1]]


def test_an_attribute_that_no_item_has_is_one_column_of_minus_1():
    assert Attribute.of([[], []]).codes.tolist() == [[-1], [-1]]


def test_a_value_never_seen_is_left_out_of_a_new_items_codes():
    attribute = Attribute.of([["a"], ["b"]])
    assert attribute.encode(["x", "b"]).tolist() == [[1]]
    assert attribute.encode(["x"]).tolist() == [[-1]]
    assert attribute.encode([]).tolist() == [[-1]]


def test_items_that_carry_one_of_some_values_are_found_in_order():
    attribute = Attribute.of([["b", "a"], [], ["c"], ["b"], ["a"]])
    assert attribute.rows(["b"]).tolist() == [0, 3]
    assert attribute.rows(["b", "a"]).tolist() == [0, 3, 4]
    assert attribute.rows(["x", "c"]).tolist() == [2]
    assert attribute.rows(["x"]).tolist() == []
    assert attribute.rows([]).tolist() == []
    rows = np.array([4, 1, 0])
    assert attribute.having(["b", "x"], rows).tolist() == [False, False, True]


@given(
    st.lists(st.lists(st.sampled_from("abcd"), max_size=3, unique=True), max_size=20),
    st.sets(st.sampled_from("abcdx")),
)
def test_rows_of_values_and_values_of_rows_agree(rows, wanted):
    attribute = Attribute.of(rows)
    truth = [number for number, row in enumerate(rows) if wanted & set(row)]
    assert attribute.rows(sorted(wanted)).tolist() == truth
    assert np.flatnonzero(attribute.having(sorted(wanted), np.arange(len(rows)))).tolist() == truth


def test_items_may_be_taken_in_another_order():
    items, order = catalogue(6), np.array([4, 0, 2])
    found = items.taken(order)
    assert found.ids == ("ø4", "ø0", "ø2")
    assert found.rows["ø0"] == 1
    for one, other in [
        (found.vectors, items.vectors), (found.published, items.published), (found.outputs, items.outputs),
        (found.numbers["price"], items.numbers["price"]), (found.statistics, items.statistics),
        (found.attributes["tags"].codes, items.attributes["tags"].codes),
    ]:  # fmt: skip
        assert one.tobytes() == other[order].tobytes()
