import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.priority import TEXTS, give_way
from tests.live import running, service_of

linux = pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own here")


def steps() -> int:
    """Of the thread that calls this."""
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@linux
def test_a_thread_gives_way_alone_and_by_so_many_steps():
    before = steps()
    with ThreadPoolExecutor(1, initializer=give_way, initargs=(3,)) as pool:
        assert pool.submit(steps).result() == min(19, before + 3)
    assert steps() == before


@linux
def test_threads_of_texts_give_way_to_the_event_loop_and_those_of_heads_do_not(settings):
    with running(settings) as client:
        pools = service_of(client).model.pools
        names = {thread.name: thread.native_id for thread in threading.enumerate()}
        told = [os.getpriority(os.PRIO_PROCESS, names["texts-0"]), pools.heads.submit(steps).result()]
    assert told == [min(19, steps() + TEXTS), steps()]
