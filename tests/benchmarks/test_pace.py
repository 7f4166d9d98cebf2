from benchmarks.speed.pace import stages


def test_stages_are_read_from_a_server_timing_header():
    assert stages("redis;dur=0.41, heads;dur=1.20, total;dur=2.05") == {
        "redis": 0.41,
        "heads": 1.2,
        "total": 2.05,
    }


def test_a_server_that_tells_nothing_has_no_stages():
    assert stages("") == {}
