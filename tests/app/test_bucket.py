import math

from app.bucket import Bucket


def test_as_many_as_the_burst_go_at_once_and_the_next_is_told_when():
    bucket = Bucket(rate=0.001, burst=3.0)
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, 0.0]
    assert 990.0 < bucket.take() <= 1_000.0


def test_what_is_refused_costs_nothing():
    bucket = Bucket(rate=0.001, burst=1.0)
    bucket.take()
    assert bucket.take() >= bucket.take() > 990.0


def test_it_is_told_when_there_will_be_so_much_and_that_more_than_the_burst_there_never_is():
    bucket = Bucket(rate=0.001, burst=5.0)
    assert bucket.take(4.0) == 0.0
    assert 1_900.0 < bucket.take(3.0) <= 2_000.0
    assert bucket.take(5.5) == math.inf
    assert bucket.take() == 0.0


def test_it_fills_again_but_never_above_the_burst():
    bucket = Bucket(rate=1e9, burst=1.0)
    assert [bucket.take() for _ in range(5)] == [0.0] * 5
