import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from training.model.audience import Audience, Events

ITEMS, USERS, K = 4, 5, 3
GRADES = torch.tensor([0.0, -1.0, 2.0])
EVENTS = Events(  # user 3 met item 2 twice
    users=np.array([3, 0, 3, 1, 4, 0]),
    items=np.array([2, 2, 2, 2, 0, 0]),
    kinds=np.array([1, 2, 2, 1, 2, 1]),
    times=np.array([10.0, 20.0, 30.0, 30.0, 5.0, 50.0]),
)
END = 99.0


@pytest.fixture
def audience() -> Audience:
    """Who met four items."""
    torch.manual_seed(0)
    made = Audience(ITEMS, USERS, K, limit=600)
    torch.nn.init.normal_(made.table.weight)
    made.meet(EVENTS, GRADES)
    return made


def said(audience: Audience, item: int, *, but: int = -1, before: float = END) -> torch.Tensor:
    """The formula, event by event."""
    total, many = torch.zeros(K), 0
    for user, other, kind, time in zip(EVENTS.users, EVENTS.items, EVENTS.kinds, EVENTS.times, strict=True):
        if other == item and user != but and time < before:
            met, graded = audience.table.weight[user], audience.table.weight[USERS + user]
            total, many = total + met + GRADES[kind] * graded, many + 1
    return total / math.sqrt(1 + many)


def asked(audience: Audience, items: list, users: list, times: list | None = None) -> torch.Tensor:
    """Candidates (B, C) of users (B,) at times (B,), by default the end of all."""
    moments = torch.tensor(times or [END] * len(users), dtype=torch.float64)
    return audience.at(
        torch.tensor(items), torch.tensor(users), moments, torch.ones(torch.tensor(items).shape)
    )


@torch.no_grad()
def test_an_item_is_told_by_all_who_met_it_each_by_what_was_done(audience):
    items = torch.tensor([2, 1, 0, 2, 3])
    torch.testing.assert_close(
        audience(items), torch.stack([said(audience, item) for item in items.tolist()])
    )
    assert not audience(torch.tensor([1, 3])).any()
    assert audience(torch.tensor([], dtype=torch.int64)).shape == (0, K)


@torch.no_grad()
def test_a_candidate_is_told_without_what_its_own_user_says(audience):
    users, items = [3, -1, 0, 2], [[2, 0], [2, 1], [0, 2], [2, 3]]
    expected = torch.stack(
        [
            torch.stack([said(audience, item, but=user) for item in row])
            for user, row in zip(users, items, strict=True)
        ]
    )
    torch.testing.assert_close(asked(audience, items, users), expected)


@torch.no_grad()
def test_a_candidate_is_told_as_of_its_moment(audience):
    moments = [5.0, 10.5, 30.0, 31.0, 60.0]
    for moment in moments:
        expected = torch.stack([said(audience, item, but=1, before=moment) for item in (2, 0, 3)])
        torch.testing.assert_close(asked(audience, [[2, 0, 3]], [1], [moment])[0], expected)


@torch.no_grad()
def test_nothing_is_said_where_a_list_is_only_filled_up(audience):
    mask = torch.tensor([[1.0, 0.0, 1.0]])
    found = audience.at(torch.tensor([[2, 2, 0]]), torch.tensor([1]), torch.tensor([END]).double(), mask)[0]
    torch.testing.assert_close(
        found, torch.stack([said(audience, 2, but=1), torch.zeros(K), said(audience, 0)])
    )


@torch.no_grad()
def test_the_newest_events_before_the_moment_are_kept(audience):
    audience.limit = 1
    alone = audience.table.weight[0] + 2.0 * audience.table.weight[USERS]  # user 0, at 20
    torch.testing.assert_close(asked(audience, [[2]], [1], [25.0])[0, 0], alone / math.sqrt(2.0))
    other = audience.table.weight[0] - audience.table.weight[USERS]  # the same of item 0, at 50
    torch.testing.assert_close(audience(torch.tensor([0]))[0], other / math.sqrt(2.0))


def test_a_users_own_grade_of_a_candidate_changes_nothing_that_is_learned_of_it(audience):
    """It would be the label."""
    before = asked(audience, [[2, 0]], [0])
    before.square().sum().backward()
    gradient = audience.table.weight.grad.clone()
    assert gradient.any()
    assert not gradient[[0, USERS]].any()
    audience.meet(replace(EVENTS, kinds=np.array([1, 1, 2, 1, 2, 2])), GRADES)
    torch.testing.assert_close(asked(audience, [[2, 0]], [0]), before)
    assert not torch.allclose(audience(torch.tensor([2, 0])), before[0])


@torch.no_grad()
def test_whom_nobody_met_or_who_met_nothing_is_no_error():
    empty = Audience(ITEMS, 0, K, limit=5)
    assert not empty(torch.arange(ITEMS)).any()
    assert not asked(empty, [[0, 3]], [-1]).any()


@torch.no_grad()
def test_once_settled_the_sums_are_told_and_add_nothing_more(audience):
    expected = audience(torch.arange(ITEMS))
    assert torch.equal(audience.settled(), expected)
    assert not audience(torch.arange(ITEMS)).any()
    assert not audience.settled().any()


def test_size_pulls_at_each_user_as_often_as_it_stands_there(audience):
    audience.size(torch.tensor([2, 4, -1, 4, 4])).backward()
    often = torch.tensor([0, 0, 1, 0, 3] * 2)
    expected = audience.table.weight.detach() * often[:, None] * 2.0 / 5.0
    torch.testing.assert_close(audience.table.weight.grad, expected)


def test_only_the_sums_are_needed_to_go_on(audience):
    """Who met what is read from the tables again: a run folder holds weights."""
    assert list(audience.state_dict()) == ["table.weight"]
