from benchmarks.chaos import fuzz, malformed

INFO = {
    "statistics": None, "item_text": ["title"], "profile_text": [], "numbers": [], "attributes": ["brand"],
    "tasks": [{"name": "click", "scalar": True}, {"name": "kind", "scalar": False}], "events": ["click"],
}  # fmt: skip


def test_names_of_the_bundle_are_put_in_where_any_would_do():
    free = {"type": "object"}
    names = ("text", "profile", "filters", "weights", "event", "k")
    document = {"schemas": [{"properties": dict.fromkeys(names, free)}]}
    found = fuzz._named(document, INFO)["schemas"][0]["properties"]

    def only(*names):
        return {"allOf": [free, {"propertyNames": {"enum": list(names)}}]}

    assert found == {
        "text": only("title"), "profile": free, "filters": only("brand", "exclude"), "weights": only("click"),
        "event": {"enum": ["click"]}, "k": free,
    }  # fmt: skip
    assert document["schemas"][0]["properties"]["text"] == free


def test_a_run_is_read_by_what_it_says_at_its_end():
    end = "Test cases:\n  1725 generated, 1725 passed\n\n==== No issues found in 16.48s ====\n"
    assert fuzz._run(end, 0) == {"cases": 1725, "failures": 0}
    end = "Test cases:\n  2107 generated, 16 found 17 unique failures\n\n==== 17 failures in 42.80s ====\n"
    assert fuzz._run(end, 1) == {"cases": 2107, "failures": 17}


def test_every_case_goes_over_the_line_with_the_key_and_ends_the_connection():
    cases = list(malformed.cases("the-key"))
    assert len({name for _, name, _ in cases}) == len(cases) > 200
    for kind, name, sent in cases:
        if kind != "heads":
            assert b"Bearer the-key\r\n" in sent, name
            assert b"Connection: close\r\n" in sent, name
