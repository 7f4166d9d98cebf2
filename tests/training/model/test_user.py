import pytest
import torch

from model_store.history import GAP_BUCKETS
from training.model.factors import Past
from training.model.user import UserEncoder

D, EVENTS = 8, 3


@pytest.fixture
def users() -> UserEncoder:
    """An encoder whose every table and layer matters."""
    torch.manual_seed(0)
    model = UserEncoder(D, EVENTS, 0.1).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def told(length: int, seed: int = 0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        "vectors": torch.nn.functional.normalize(torch.randn(1, length, D, generator=draw), dim=-1),
        "events": torch.randint(0, EVENTS, (1, length), generator=draw),
        "gaps": torch.randint(0, GAP_BUCKETS, (1, length), generator=draw),
        "hours": torch.randint(0, 24, (1, length), generator=draw),
        "mask": torch.ones(1, length),
    }


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_user_is_a_unit_vector(users):
    for length in (1, 5, 50):
        assert users(**told(length)).norm(dim=-1).item() == pytest.approx(1, abs=1e-5)


@torch.no_grad()
def test_an_empty_history_has_one_vector_whatever_stands_under_the_mask(users):
    vectors = [users(**{**told(3, seed), "mask": torch.zeros(1, 3)}) for seed in range(3)]
    assert torch.isfinite(vectors[0]).all()
    assert close(vectors[0], vectors[1])
    assert close(vectors[0], vectors[2])
    assert not close(vectors[0], users(**told(3)))


@torch.no_grad()
@pytest.mark.parametrize("before", [True, False])
def test_padding_changes_nothing(users, before):
    known, padding = told(4), told(3, seed=9)
    padding["mask"] = torch.zeros(1, 3)
    pair = (padding, known) if before else (known, padding)
    padded = {name: torch.cat([part[name] for part in pair], dim=1) for name in known}
    assert close(users(**padded), users(**known))


@torch.no_grad()
def test_users_of_one_batch_do_not_see_each_other(users):
    rows = [told(4, seed) for seed in range(3)]
    together = users(**{name: torch.cat([row[name] for row in rows]) for name in rows[0]})
    for row, alone in zip(together, rows, strict=True):
        assert close(row, users(**alone)[0])


@torch.no_grad()
def test_the_order_in_which_events_stand_does_not_matter_their_times_do(users):
    known = told(5)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert close(users(**{name: value[:, order] for name, value in known.items()}), users(**known))
    assert not close(users(**{**known, "gaps": known["gaps"][:, order]}), users(**known))


@torch.no_grad()
@pytest.mark.parametrize(("name", "size"), [("events", EVENTS), ("gaps", GAP_BUCKETS), ("hours", 24)])
def test_what_was_done_and_how_long_ago_and_at_what_hour_each_matter(users, name, size):
    known = told(2)
    for value in range(size):
        if value != known[name][0, 0]:
            other = known[name].clone()
            other[0, 0] = value
            assert not close(users(**{**known, name: other}), users(**known))


@torch.no_grad()
def test_training_begins_near_the_mean_of_the_history():
    torch.manual_seed(0)
    users, known = UserEncoder(D, EVENTS, 0.0), told(30)
    known["vectors"] = torch.nn.functional.normalize(known["vectors"] + 1.0, dim=-1)
    mean = torch.nn.functional.normalize(known["vectors"].mean(dim=1), dim=-1)
    assert (users(**known) @ mean.T).item() > 0.95


def test_every_parameter_learns(users):
    loss = users(**told(6))[0, 0]
    loss.backward()
    assert {name for name, parameter in users.named_parameters() if parameter.grad is None} == set()


@torch.no_grad()
def test_what_was_done_may_turn_an_item_round(users):
    """An event weighed by -1 says of an item what another says of its opposite."""
    users.weight.weight[1], users.weight.weight[2] = 0.0, -2.0
    users.event.weight[2] = users.event.weight[1]
    one = told(4)
    other = {**one, "vectors": -one["vectors"], "events": torch.full((1, 4), 2)}
    assert close(users(**{**one, "events": torch.ones(1, 4, dtype=torch.int64)}), users(**other))


@torch.no_grad()
def test_what_the_items_say_together_stands_behind_the_unit_vector_and_is_no_smaller_in_training():
    torch.manual_seed(0)
    past = Past(2, torch.tensor([0.0, 1.0, -1.0]))
    users, known = UserEncoder(D, EVENTS, 0.5, past).train(), told(30)
    learned = torch.randn(1, 30, 3 * 2 + 2)
    found = users(**{**known, "vectors": torch.cat([known["vectors"], learned], dim=-1)})
    assert found[0, :D].norm().item() == pytest.approx(1, abs=1e-5)
    assert close(found[:, D:], past(learned, known["events"], known["mask"]))
