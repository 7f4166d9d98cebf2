from app.bucket import Bucket


def test_as_many_as_the_burst_go_at_once_and_the_next_is_told_when():
    bucket = Bucket(rate=0.001, burst=3.0)
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, 0.0]
    assert 990.0 < bucket.take() <= 1_000.0


def test_what_is_refused_costs_nothing():
    bucket = Bucket(rate=0.001, burst=1.0)
    bucket.take()
    assert bucket.take() >= bucket.take() > 990.0


def test_it_fills_again_but_never_above_the_burst():
    bucket = Bucket(rate=1e9, burst=1.0)
    assert [bucket.take() for _ in range(5)] == [0.0] * 5
