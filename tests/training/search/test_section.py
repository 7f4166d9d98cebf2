import pytest
from pydantic import ValidationError

from training.search.section import Range, SearchConfig


def test_numbers_are_whole_if_both_ends_and_the_step_are():
    space = SearchConfig(space={"a": {"low": 1, "high": 5}, "b": {"low": 1, "high": 5, "step": 0.5}}).space
    assert [isinstance(each, Range) and each.whole for each in space.values()] == [True, False]
    assert SearchConfig(space={"a": ["x", 2, [3]]}).space == {"a": ("x", 2, [3])}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"space": {}}, "at least 1 item"),
        ({"space": {"a": {"low": 2, "high": 1}}}, '"a": low must be below high'),
        ({"space": {"a": {"low": 0, "high": 1, "log": True}}}, '"a": log = true needs a low above 0'),
        ({"space": {"a": {"low": 1, "high": 3, "log": True, "step": 1}}}, "log and step do not go together"),
        ({"space": {"a": {"low": 1, "hihg": 3}}}, '"a": high Field required; hihg Extra inputs'),
        ({"space": {"a": 3}}, '"a": give a list of values, or { low = ..., high = ... }'),
        ({"space": {"a": []}}, '"a": give a list of values'),
        (
            {"space": {"model": {"sharing": ["ple"]}}},
            'write the whole key in quotes, as in "model.sharing" = ...',
        ),
        (
            {"space": {"a": {"low": 0.1, "high": 1}}, "method": "grid"},
            'space."a": a grid needs a list of values',
        ),
        ({"space": {"a": [1]}, "folds": 0}, "folds"),
    ],
)
def test_what_cannot_be_tried_is_named_with_its_key_and_the_fix(given, message):
    with pytest.raises(ValidationError) as error:
        SearchConfig.model_validate(given)
    assert message in str(error.value)
