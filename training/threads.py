"""How torch computes where a run must be the same run again."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def single(*, when: bool) -> Iterator[None]:
    """One thread inside, if `when`; denormal numbers are zero.

    The small steps of a frozen encoder lose more by waiting for threads than they gain, and the order of sums
    depends on the threads: on one, a seed means the same run on any number of cores. AdamW's averages of idle
    weights fade into denormals, which are ten times slower.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1 if when else before)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)
