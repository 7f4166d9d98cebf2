import pytest

from model_store.names import ARGUED, COMPARED, KINDS, Name, counted, of, parse

EXAMPLES = {
    "is": "is:brand", "habit": "habit:click",
    "share": "share:brand", "count": "count:click", "rate": "rate:click/view", "since": "since:click",
    "number": "number:price", "latest": "latest:price", "context": "context:device",
    "appeal": "appeal:7d", "mood": "mood:5", "taste": "taste:brand",
    "match": "match:idf", "query": "query:rarest",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_known_by_its_name_and_has_an_argument_or_none(kind):
    name = parse(EXAMPLES.get(kind, kind))
    assert (name.kind, name.window, name.listed) == (kind, "", False)
    assert name.plain == name.written == EXAMPLES.get(kind, kind)
    assert name.argument == name.written.partition(":")[2]


@pytest.mark.parametrize("kind", COMPARED)
def test_whatever_differs_between_candidates_can_be_compared_in_their_list(kind):
    plain = EXAMPLES.get(kind, kind)
    name = parse(f"list:{plain}")
    assert name.listed
    assert name.plain == plain
    assert (name.kind, name.argument, name.optional) == (kind, parse(plain).argument, parse(plain).optional)


@pytest.mark.parametrize("kind", sorted({*KINDS} - {*COMPARED}))
def test_whatever_all_candidates_share_cannot_be_compared(kind):
    with pytest.raises(ValueError, match="there is nothing to compare in a list; use one of item_age"):
        parse(f"list:{EXAMPLES.get(kind, kind)}")


@pytest.mark.parametrize(
    ("written", "events", "tried", "window"),
    [("count:click", ("click",), (), ""), ("count:click+buy:1h", ("click", "buy"), (), "1h"),
     ("rate:click+buy/view:24h", ("click", "buy"), ("view",), "24h"), ("since:buy", ("buy",), (), ""),
     ("list:rate:buy/click+view", ("buy",), ("click", "view"), ""), ("share:count", (), (), "")],
)  # fmt: skip
def test_events_stand_above_and_below_a_line_and_a_window_after_a_colon(written, events, tried, window):
    name = parse(written)
    assert (name.events, name.tried, name.window) == (events, tried, window)


@pytest.mark.parametrize(
    ("written", "said"),
    [("match:price", "match:words, match:idf"), ("query:idf", "query:words, query:letters")],
)
def test_an_unknown_measure_of_words_is_told_beside_all_that_there_are(written, said):
    with pytest.raises(ValueError, match=f"'{written}': there are {said}"):
        parse(written)


def test_a_window_is_no_part_of_what_is_counted():
    assert parse("rate:click/view:1h").argument == parse("rate:click/view").argument == "click/view"


def test_a_column_may_have_a_colon_in_its_name():
    assert parse("number:size:eu").argument == "size:eu"


@pytest.mark.parametrize(
    "written", ["moon", "", "Hour", "list", "list:", "list:list:shown", "lists:shown", "LIST:shown"]
)
def test_an_unknown_name_is_told_beside_all_that_there_are(written):
    with pytest.raises(
        ValueError, match=r"unknown '.*'; there are hour, .*, shown, share:<attribute>, is:<attribute>, habit"
    ):
        parse(written)


@pytest.mark.parametrize("kind", ARGUED)
def test_a_kind_that_needs_an_argument_is_refused_without(kind):
    with pytest.raises(ValueError, match=f"'{kind}': write {kind}:<...>"):
        parse(kind)


def test_a_kind_without_arguments_is_refused_with_one():
    with pytest.raises(ValueError, match="'hour:local': write hour alone"):
        parse("hour:local")


@pytest.mark.parametrize(
    ("written", "event"),
    [("count::1h", ""), ("count:click+", ""), ("count:click:1h:6h", None), ("count:click/view", "click/view"),
     ("rate:click", ""), ("rate:/view", ""), ("rate:click/", ""), ("rate:click/view/buy", "view/buy"),
     ("since:click:1h", "click:1h"), ("since:+", "")],
)  # fmt: skip
def test_what_is_no_event_is_told_with_examples(written, event):
    if event is None:
        assert parse(written).window == "1h:6h"  # which is no window, as features.py says
        return
    with pytest.raises(ValueError, match=f"'{event}' is no event; write count:click, count:click:1h, rate"):
        parse(written)


@pytest.mark.parametrize("written", ["count:click+click", "rate:click/view+view", "since:buy+click+buy"])
def test_an_event_is_not_counted_twice(written):
    with pytest.raises(ValueError, match="counts an event twice"):
        parse(written)


def test_only_what_can_be_missing_is_optional():
    optional = {kind for kind in KINDS if parse(EXAMPLES.get(kind, kind)).optional}
    assert optional == {
        "item_age",
        "since_last",
        "again",
        "shown",
        "share",
        "habit",
        "since",
        "number",
        "latest",
    }


@pytest.mark.parametrize("events", ["0", "-1", "all", "1.5"])
def test_a_mood_is_of_a_number_of_events(events):
    with pytest.raises(ValueError, match="is no number of events; write mood:1 or mood:50"):
        parse(f"mood:{events}")


def names(*written: str) -> list[Name]:
    return [parse(each) for each in written]


def test_counted_events_are_each_told_once_in_order_of_the_alphabet():
    found = counted(names("hour", "rate:click+buy/view", "list:count:view:1h", "since:save"))
    assert found == ("buy", "click", "save", "view")


def test_arguments_of_a_kind_are_each_told_once_in_order_of_use():
    chosen = names("share:kind", "number:price", "share:brand", "list:share:kind", "latest:price")
    assert of("share", chosen) == ("kind", "brand")
    assert of("context", chosen) == ()
