import pytest

from benchmarks.speed.wrk import parse

TOLD = """Running 1s test @ http://127.0.0.1:1/recommend
Requests/sec:    498.12

{"requests": 500, "microseconds": 1004000, "failed": 2, "p50": 1500.0, "p90": 2000.0, "p99": 3500.5, "max": 9000.0}
"""


def test_what_the_script_writes_is_read_in_seconds_and_milliseconds():
    load = parse(TOLD)
    assert (load.requests, load.failed, load.seconds) == (500, 2, 1.004)
    assert (load.p50, load.p90, load.p99, load.longest) == (1.5, 2.0, 3.5005, 9.0)
    assert load.rate == pytest.approx(498.0, abs=0.1)


def test_output_without_the_script_s_line_ends_the_benchmark():
    with pytest.raises(SystemExit, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:1 Connection refused")
