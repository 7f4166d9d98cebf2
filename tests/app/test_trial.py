"""A version and its share, as settings have them."""

import pytest

from app.trial import Trial, check


@pytest.mark.parametrize("told", ["8:0.05", "12:1.0", "3:1e-05", "7:0.1"])
def test_what_was_read_is_written_so_that_it_reads_the_same(told):
    assert Trial.read(str(Trial.read(told))) == Trial.read(told)


def test_the_version_stands_before_the_share():
    assert Trial.read("8:0.05") == Trial(version=8, share=0.05)


@pytest.mark.parametrize("told", ["", "8", ":0.1", "8:", "8:0", "8:1.5", "8:-0.1", "8:nan", "0:0.1", "x:0.1"])
def test_what_is_no_version_with_a_share_is_refused_with_an_example(told):
    with pytest.raises(ValueError, match=r"such as 8:0\.05"):
        Trial.read(told)


def test_a_canary_has_half_of_the_users_at_most():
    check("canary", 0.5)
    check("shadow", 1.0)
    for label, share in (("canary", 0.51), ("canary", 0.0), ("shadow", 1.01)):
        with pytest.raises(ValueError, match="share above 0"):
            check(label, share)
