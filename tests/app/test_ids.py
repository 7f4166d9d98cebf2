import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from app.ids import Ids

texts = st.text(max_size=6) | st.sampled_from(["", "a", "é", "\U0001f600", "a\0", "x" * 300])


def found(known, asked):
    rows = {item: row for row, item in enumerate(known)}
    ids = Ids(rows, len(known))
    assert ids.find(asked).tolist() == [rows.get(item, -1) for item in asked]
    return ids.find(asked)


@given(st.lists(texts, unique=True, max_size=60), st.lists(texts, max_size=60))
@example(known=[], asked=[""])
def test_rows_are_those_of_a_dictionary_whatever_the_ids(known, asked):
    found(known, [*asked, *known, *known[::-1]])


def test_ids_that_share_a_slot_are_found_too():
    known = [f"item-{number}" for number in range(20_000)]  # about a thousand of them find theirs taken
    assert found(known, known).tolist() == list(range(20_000))
    assert (found(known, [f"other-{number}" for number in range(20_000)]) == -1).all()


def test_of_an_id_that_stands_at_two_rows_the_last_is_found():
    assert found(["a", "b", "a"], ["a", "b"]).tolist() == [2, 1]


changes = st.lists(st.tuples(st.sampled_from(["put", "pop", "clear"]), texts), max_size=60)


@given(changes)
def test_what_is_put_and_let_go_is_found_as_in_a_dictionary(order):
    ids, model, free = Ids({}, 60), {}, list(range(60))
    for what, item in order:
        if what == "put" and item not in ids:
            model[item] = free.pop()
            ids.put(item, model[item])
        elif what == "pop":
            row = model.pop(item, None)
            assert ids.pop(item) == row
            free += [] if row is None else [row]
        elif what == "clear":
            free += model.values()
            model.clear()
            ids.clear()
        asked = [item for _, item in order]
        assert ids.find(asked).tolist() == [model.get(item, -1) for item in asked]
        assert len(ids) == len(model)


def test_rows_are_whole_numbers_that_index_as_they_are():
    assert found(["a"], ["a", "b"]).dtype == np.int64
