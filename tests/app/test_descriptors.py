import resource
from pathlib import Path

import pytest

from app.descriptors import BESIDE
from tests.live import process


@pytest.fixture
def few():
    """A soft limit as low as some systems give."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def allowed(pid: int) -> int:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Max open files")).split()[3])


def test_a_service_asks_for_as_many_files_as_it_may_have_connections(shelf, redis_server, few):
    if few != resource.RLIM_INFINITY and few < 1_000 + BESIDE:
        pytest.skip("this machine does not allow so many")
    with process(shelf, redis_server, CHORUS_MAX_CONNECTIONS="1000") as (running, _, _):
        assert allowed(running.pid) == 1_000 + BESIDE


def test_one_that_is_not_given_as_many_says_so(shelf, redis_server):
    with process(shelf, redis_server, CHORUS_MAX_CONNECTIONS="1000000000") as (running, _, _):
        running.terminate()
        _, err = running.communicate(timeout=20)
    assert err.count("CHORUS_MAX_CONNECTIONS=1000000000 needs 1000000256: raise ulimit -n") == 1
