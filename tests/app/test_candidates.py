from app.candidates import Candidates, Described


def test_an_item_given_twice_is_what_it_was_first():
    hat, other = Described("hat", "a red hat"), Described("hat", "another text")

    assert Candidates.of(["a", "b", "a"]) == Candidates(("a", "b"))
    assert Candidates.of([hat, "a", other, "hat"]) == Candidates(("hat", "a"), {"hat": hat})
    assert Candidates.of(["hat", hat]) == Candidates(("hat",))


def test_those_kept_keep_their_order_and_their_texts():
    hat, coat = Described("hat", "a red hat"), Described("coat", "a warm coat")
    given = Candidates.of(["a", hat, "b", coat])

    kept = given.kept([False, True, True, False])

    assert kept == Candidates(("hat", "b"), {"hat": hat})
    assert kept.texts == ["a red hat"]
