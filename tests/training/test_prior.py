import numpy as np
import pytest
import torch

from training import prior
from training.refit import joined


def test_items_are_told_by_what_was_done_before_anything_that_is_held_out(workbench):
    """A refit knows validation too, rows at random all that histories hold."""
    dataset = workbench(model={"factors": 2, "audience": 50}).dataset
    requests, told = dataset.requests, dataset.histories
    for known, held in ((dataset, "validation"), (joined(dataset), "test")):
        end = requests.times[requests.of(held)].min()
        events, before = prior.events(known), told.times < end
        assert 0 < before.sum() < len(before)
        users = np.repeat(np.arange(len(dataset.user_ids)), np.diff(told.starts))
        found = zip(events.users, events.items, events.kinds, strict=True)
        expected = zip(users[before], told.items[before], told.events[before], strict=True)
        assert sorted(found) == sorted(expected)


@torch.no_grad()
def test_the_newest_events_of_an_item_are_its_audience(workbench):
    few, many = (workbench(model={"factors": 2, "audience": size}).network.audience for size in (1, 500))
    known = np.bincount(prior.events(workbench().dataset).items, minlength=len(few.starts) - 1)
    assert known.max() > 1
    for audience, counts in ((few, known > 0), (many, known)):
        audience.table.weight.copy_(torch.arange(len(audience.table.weight)).lt(audience.users)[:, None])
        told = counts / np.sqrt(1.0 + counts)
        assert audience(torch.arange(len(known)))[:, 0].numpy() == pytest.approx(told)
