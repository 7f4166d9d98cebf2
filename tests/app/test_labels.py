"""What wishes make of labels, and where users stand."""

import numpy as np
import pytest

from app.errors import Refused, Unknown
from app.labels import Labels, Wish, lot
from app.settings import Settings
from app.trial import Trial
from model_store.shelf import Shelf
from tests.shelves import publish


@pytest.fixture(scope="module")
def shelf(bundle, tmp_path_factory):
    """Four versions."""
    root = tmp_path_factory.mktemp("labels")
    for _ in range(4):
        publish(bundle, root)
    return Shelf(root)


@pytest.fixture(scope="module")
def name(bundle):
    return bundle.parent.name


def canary(version, share=0.1):
    return Wish(version=version, label="canary", share=share)


def shadow(version, share=1.0):
    return Wish(version=version, label="shadow", share=share)


STABLE = Wish(version=2)
BACK, PROMOTE = Wish(version="before"), Wish(version="canary")
DROP = Wish(version=None, label="canary")
# What is wished one after another of version 1; stable, previous, canary and shadow then.
WISHED = {
    "another": ([STABLE], (2, 1, None, None)),
    "the newest": ([Wish()], (4, 1, None, None)),
    "the same": ([Wish(version=1)], (1, None, None, None)),
    "back": ([STABLE, BACK], (1, 2, None, None)),
    "back and forth": ([STABLE, BACK, BACK], (2, 1, None, None)),
    "a canary": ([canary(2)], (1, None, 2, None)),
    "a canary with more": ([canary(2), canary(2, 0.3)], (1, None, 2, None)),
    "another canary": ([canary(2), canary(3)], (1, None, 3, None)),
    "promoted": ([canary(2), PROMOTE], (2, 1, None, None)),
    "promoted by its number": ([canary(2), STABLE], (2, 1, None, None)),
    "promoted and back": ([canary(2), PROMOTE, BACK], (1, 2, None, None)),
    "dropped": ([canary(2), DROP], (1, None, None, None)),
    "a roll back drops the canary alone": ([STABLE, canary(3), BACK], (2, 1, None, None)),
    "the previous one as canary": ([STABLE, canary(1)], (2, 1, 1, None)),
    "another stable one beside a canary": ([canary(2), Wish(version=3)], (3, 1, 2, None)),
    "all": ([STABLE, canary(3), shadow(4)], (2, 1, 3, 4)),
    "a shadow becomes canary": ([shadow(2), canary(2)], (1, None, 2, None)),
    "a shadow becomes stable": ([shadow(2), STABLE], (2, 1, None, None)),
}


@pytest.mark.parametrize("kind", WISHED)
def test_wishes_leave_the_labels_that_they_say(kind, shelf, name):
    wishes, expected = WISHED[kind]
    labels = Labels(name=name, stable=1)
    for wish in wishes:
        labels = labels.after(wish, shelf)
    trials = [trial and trial.version for trial in (labels.canary, labels.shadow)]
    assert (labels.stable, labels.previous, *trials) == expected
    assert labels.held == set(expected) - {None}
    assert labels.active[0] == labels.stable
    told = {labels.label(version) for version in labels.active}
    assert told == {"stable"} | {label for label in ("canary", "shadow") if getattr(labels, label)}


def test_a_share_is_that_of_the_last_wish(shelf, name):
    labels = Labels(name=name, stable=1).after(canary(2), shelf).after(canary(2, 0.3), shelf)
    assert labels.canary == Trial(version=2, share=0.3)


@pytest.mark.parametrize(
    ("wish", "error", "said"),
    [
        (BACK, Refused, "no other version was served before"),
        (PROMOTE, Refused, "there is no canary"),
        (DROP, Refused, "no version is canary"),
        (Wish(version=None, label="shadow"), Refused, "no version is shadow"),
        (canary(1), Refused, "is stable"),
        (shadow(1), Refused, "is stable"),
        (canary(9), Unknown, "no version 9"),
        (Wish(version=9), Unknown, "no version 9"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(wish, error, said, shelf, name):
    with pytest.raises(error, match=said):
        Labels(name=name, stable=1).after(wish, shelf)


def test_a_process_that_starts_is_told_the_same_by_its_settings(shelf, name):
    labels = Labels(name=name, stable=2).after(canary(3, 0.05), shelf).after(shadow(4, 0.25), shelf)
    settings = Settings(store=shelf.root)
    assert Labels.of(settings.model_copy(update=labels.settings)) == labels
    assert Labels.of(settings) == Labels(name=name, stable=4)


def test_settings_that_contradict_each_other_are_refused(shelf):
    with pytest.raises(Refused, match="is stable"):
        Labels.of(Settings(store=shelf.root, canary="4:0.1"))


def test_users_are_spread_evenly_and_other_bundles_spread_them_otherwise():
    users = [f"user-{number}" for number in range(10_000)]
    first, other = (np.array([lot(name, user) for user in users]) for name in ("shop", "news"))
    for share in (0.01, 0.05, 0.2, 0.5):
        assert abs((first < share).mean() - share) <= 0.01
        assert abs((other < share).mean() - share) <= 0.01
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.05


def test_a_place_is_the_same_for_ever():
    assert [round(lot("shop", user), 6) for user in ("u1", "u2", "ü")] == [0.716095, 0.44611, 0.583263]


def test_a_version_that_is_held_needs_no_shelf(tmp_path, name):
    labels = Labels(name=name, stable=1, previous=2, canary=Trial(version=3, share=0.1))
    bare = Shelf(tmp_path)
    assert labels.after(canary(3, 0.3), bare).canary == Trial(version=3, share=0.3)
    assert labels.after(Wish(version=2), bare).stable == 2
    with pytest.raises(Unknown, match="no bundle"):
        labels.after(Wish(version=4), bare)
