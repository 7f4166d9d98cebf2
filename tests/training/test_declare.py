"""What is measured for the features: of the training part, and what of it is kept."""

import numpy as np
import polars as pl
import pytest

from model_store.manifest import Scale
from tests.training import toy
from training import declare
from training.build import build
from training.replay import Log
from training.sections import FeaturesConfig

USE = (
    "rate:click/view", "rate:buy+click/view", "count:view", "number:price", "latest:offer", "context:device",
    "list:rate:click/view",
)  # fmt: skip
PARTS = {
    "features": {"use": USE},
    "items": {"numbers": ["price"]},
    "events": {"numbers": ["offer"], "context": ["device"]},
}


def measured(*, clicks=30, views=100, buys=0, offers=(1.0, 3.0), shown=(), prices=(1.0, 2.0, 3.0)):
    """The declaration from a log of so many events; `shown` are (request, item, device) of the training part."""
    kinds = np.repeat([0, 1, 2], [buys, clicks, views])  # buy, click, view
    nothing, times = np.zeros(len(kinds), dtype=np.int64), np.zeros(len(kinds))
    told = (np.zeros(len(offers), dtype=np.int64), np.zeros(len(offers)), np.array(offers, dtype=np.float64))
    rows = pl.DataFrame(
        list(shown) or [(0, "i0", "app")],
        schema={"request": pl.Int64, "item": pl.String, "context:device": pl.String},
        orient="row",
    )
    items = pl.DataFrame({"item": [f"i{at}" for at in range(len(prices))], "number:price": prices})
    log = Log(nothing, kinds, times, {"offer": told})
    return declare.declared(toy.settings(**PARTS), log, rows, items)


def test_what_the_configuration_declares_is_declared():
    found = measured()
    assert found.use == USE
    assert found.windows == FeaturesConfig().windows


# rates


def test_a_usual_rate_is_that_of_all_events_of_the_log():
    assert measured(clicks=30, buys=6, views=120).rates == {"click/view": 0.25, "buy+click/view": 0.3}


@pytest.mark.parametrize(("clicks", "views"), [(0, 100), (0, 0), (1, 1_000_000)])
def test_a_usual_rate_is_never_so_low_that_one_event_would_be_beyond_all_measure(clicks, views):
    assert measured(clicks=clicks, views=views).rates["click/view"] == declare.RARE


# scales


def test_a_number_is_scaled_by_the_items_that_were_shown_each_once():
    rows = [(0, "i0", None), (1, "i0", None), (2, "i0", None), (3, "i2", None)]
    assert measured(shown=rows, prices=(10.0, 99.0, 20.0)).scales["number:price"] == Scale(mean=15, std=5)


def test_the_latest_values_are_scaled_by_all_that_the_log_told():
    assert measured(offers=(2.0, 4.0, 4.0, 6.0)).scales["latest:offer"] == Scale(mean=4, std=np.sqrt(2))


def test_a_number_that_nobody_knows_has_a_scale_all_the_same():
    assert measured(offers=(), prices=(None, None)).scales == {
        "number:price": Scale(),
        "latest:offer": Scale(),
    }


def test_a_long_tail_is_told_by_logarithms():
    values = np.expm1(np.arange(9.0))
    found = declare.scale(pl.Series(values))
    assert found.log
    assert (found.mean, found.std) == (pytest.approx(4), pytest.approx(np.arange(9.0).std()))


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [-1.0, 0.0, 900.0], [5.0], [0.0, 0.0]])
def test_without_a_long_tail_or_with_negatives_numbers_are_told_as_they_are(values):
    found = declare.scale(pl.Series(values))
    assert not found.log
    assert found.mean == np.mean(values)


def test_a_number_that_is_always_the_same_has_a_spread_above_0():
    assert declare.scale(pl.Series([7.0, 7.0])).std > 0


def test_missing_values_have_no_part_in_a_scale():
    assert declare.scale(pl.Series([1.0, None, 3.0])) == Scale(mean=2, std=1)


# words


def test_the_commonest_words_are_known_and_of_equals_the_first_by_the_alphabet():
    words = [f"w{at:02}" for at in range(declare.WORDS + 5)]
    rows = [(at, "i0", word) for at, word in enumerate([*reversed(words), "w36", None, None, None])]
    assert measured(shown=rows).words == {"device": ("w36", *words[: declare.WORDS - 1])}


def test_where_no_request_has_a_word_none_is_known():
    assert measured(shown=[(0, "i0", None)]).words == {"device": ()}


# lists


def test_the_longest_list_is_that_of_the_request_with_most_rows():
    assert measured(shown=[(request, "i0", None) for request in (0, 1, 1, 1, 2, 2)]).candidates == 3


# the training part alone


def test_nothing_is_measured_on_what_is_held_out():
    """After the training part all is different: prices, devices, lists, clicks."""
    chosen = toy.settings(tasks={"click": {"type": "binary", "label": "clicked"}}, **PARTS)
    rows = [
        {"user": "u", "item": f"i{(at + place) % 4}", "time": float(at), "impression": f"l{at}",
         "events": ["click"] if late or place == 0 else [], "click": float(place == 0),
         "number:offer": 1e6 if late else float(place), "context:device": "tv" if late else "app"}
        for at in range(50)
        for late in [at >= 30]
        for place in range(4 if late else 2)
    ]  # fmt: skip
    tables = toy.tables(rows, chosen)
    tables.items.insert_column(-1, pl.Series("number:price", [2.0] * 2 + [4.0] * 2 + [1e6] * 8))
    features = build(chosen, tables).features
    assert features.rates == {"click/view": 0.5, "buy+click/view": 0.5}
    assert features.scales == {
        "number:price": Scale(mean=3, std=1),
        "latest:offer": Scale(mean=0.5, std=0.5),
    }
    assert features.words == {"device": ("app",)}
    assert features.candidates == 2
