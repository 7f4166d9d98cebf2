import pytest

from app import keyring
from app.errors import TooLarge, TooOften
from app.holder import Holder
from app.metrics import Metrics

SLOW = 0.001  # a second: what is spent does not come back within a test


def holder(before=None, **limits):
    key = keyring.key(name="shop", scopes=("recommend",), sha256=keyring.digest(b"secret"), **limits)
    return Holder(key, Metrics().keys.labels("shop"), before)


def test_a_key_without_limits_has_no_end():
    free = holder()
    for _ in range(100):
        free.come()
        free.spend(1_000_000)


def test_candidates_are_spent_until_there_are_too_few_and_then_it_is_told_when():
    limited = holder(candidates=SLOW, candidates_burst=100)
    limited.spend(60)
    with pytest.raises(
        TooOften, match=r"more than 0\.001 candidates a second; come again in \d+ s, or with fewer"
    ) as error:
        limited.spend(50)
    assert 9_000 <= error.value.retry_after <= 10_000
    limited.spend(40)
    with pytest.raises(TooOften):
        limited.spend(1)


def test_what_never_fits_is_no_matter_of_waiting():
    limited = holder(candidates=SLOW, candidates_burst=100)
    with pytest.raises(
        TooLarge, match="asks for 101 candidates and the key shop may have 100 scored at once"
    ) as error:
        limited.spend(101)
    assert error.value.retry_after is None
    limited.spend(100)


def test_a_second_of_candidates_may_come_at_once_if_no_more_is_said():
    limited = holder(candidates=50)
    with pytest.raises(TooLarge):
        limited.spend(51)
    limited.spend(50)


def test_requests_and_candidates_are_limited_apart():
    limited = holder(rate=SLOW, burst=1, candidates=SLOW, candidates_burst=10)
    limited.come()
    with pytest.raises(TooOften, match="times a second"):
        limited.come()
    limited.spend(10)


def test_what_is_spent_stays_spent_when_the_file_is_read_again_unless_the_limit_is_another():
    first = holder(candidates=SLOW, candidates_burst=10)
    first.spend(10)
    with pytest.raises(TooOften):
        holder(first, rate=5, candidates=SLOW, candidates_burst=10).spend(1)
    holder(first, candidates=SLOW, candidates_burst=20).spend(20)
