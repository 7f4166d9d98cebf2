import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from model_store.manifest import Task
from training.errors import ConfigError
from training.losses import FLOOR, Losses, pinball
from training.model.readout import Readout
from training.task import TaskConfig
from training.team import Part

NAN = math.nan
TASKS = (
    Task(name="click", type="binary"),
    Task(name="mood", type="multiclass", classes=("a", "b", "c")),
    Task(name="tags", type="multilabel", inputs="item", classes=("a", "b")),
    Task(name="stars", type="regression"),
    Task(name="dwell", type="regression"),
    Task(name="range", type="quantile", quantiles=(0.1, 0.5, 0.9)),
)
LABELS = {
    "click": np.array([1, 0, 0, NAN, 0]),
    "mood": np.array([0, 0, 1, -1, 2, 0, 1, 2]),
    "tags": np.array([[1, 0], [1, 1], [0, 0], [1, 0.0]]),
    "stars": np.array([1, 5, 3, NAN, 4.0]),
    "dwell": np.array([0, 10, 99, NAN]),
    "range": np.array([0, 10, 99, NAN, 20, 3, 60]),
}

WIDTHS = {task.name: task.width for task in TASKS}


def made(loss: str = "default") -> tuple[Losses, Readout]:
    configs = {task.name: TaskConfig(type=task.type, label="x", inputs=task.inputs) for task in TASKS}
    configs["stars"] = TaskConfig(type="regression", label="x", loss=loss)
    configs["dwell"] = TaskConfig(type="regression", label="x", transform="log1p")
    configs["range"] = TaskConfig(type="quantile", label="x", transform="log1p")
    readout = Readout(TASKS, configs)
    losses = Losses(TASKS, configs, readout)
    for name, labels in LABELS.items():
        losses.prepare(name, labels)
    return losses, readout


@pytest.fixture
def losses() -> Losses:
    return made()[0]


def tensor(name: str) -> torch.Tensor:
    labels = LABELS[name]
    return torch.from_numpy(labels if labels.dtype == np.int64 else labels.astype(np.float32))


def entropy(*shares: float) -> float:
    return -sum(share * math.log(share) for share in shares)


# one number a task


def test_the_mean_is_over_the_labelled_rows_alone(losses):
    """Rows 1, 0, 0 and 0 are labelled; their loss is that of sigmoid(2), sigmoid(0), sigmoid(0), sigmoid(-1)."""
    logits = torch.tensor([[2.0], [0.0], [0.0], [77.0], [-1.0]])
    found = losses.task("click", logits, tensor("click")).item()
    by_hand = (math.log(1 + math.exp(-2)) + 2 * math.log(2) + math.log(1 + math.exp(-1))) / 4
    assert found == pytest.approx(by_hand / entropy(0.25, 0.75))


def test_the_mean_is_the_same_in_whatever_shape_the_rows_stand(losses):
    logits, labels = torch.randn(6, 1), torch.tensor([1, 0, NAN, 1, 0, NAN])
    flat = losses.task("click", logits, labels)
    table = losses.task("click", logits.reshape(2, 3, 1), labels.reshape(2, 3))
    torch.testing.assert_close(flat, table)


@pytest.mark.parametrize("name", LABELS)
def test_a_constant_predictor_has_a_loss_of_one(losses, name):
    constant = {
        "click": [math.log(0.25 / 0.75)],
        "mood": [math.log(3 / 7), math.log(2 / 7), math.log(2 / 7)],
        "tags": [math.log(3), math.log(1 / 3)],
        "stars": [0.0],
        "dwell": [0.0],
        "range": [0.0, 0.0, 0.0],
    }
    rows = len(LABELS[name])
    logits = torch.tensor(constant[name]).expand(rows, -1)
    assert losses.task(name, logits, tensor(name)).item() == pytest.approx(1, rel=1e-5)


def test_a_task_that_a_constant_nearly_solves_is_not_blown_up():
    losses = made()[0]
    losses.prepare("click", np.array([1.0] + [0.0] * 9_999))
    found = losses.task("click", torch.zeros(1, 1), torch.zeros(1)).item()
    assert found == pytest.approx(math.log(2) / FLOOR)


@pytest.mark.parametrize("name", ["click", "mood", "stars", "dwell", "range"])
def test_a_task_without_labels_in_the_batch_is_0_and_moves_nothing(losses, name):
    tower = torch.nn.Linear(3, WIDTHS[name])
    missing = torch.full((4,), -1) if name == "mood" else torch.full((4,), NAN)
    loss = losses.task(name, tower(torch.randn(4, 3)), missing)
    loss.backward()
    assert loss.item() == 0
    assert tower.weight.grad.abs().sum() == 0


@pytest.mark.parametrize("name", ["click", "mood", "stars", "dwell", "range"])
def test_a_row_without_a_label_moves_nothing(losses, name):
    logits = torch.randn(3, WIDTHS[name], requires_grad=True)
    labels = torch.tensor([1, -1, 0]) if name == "mood" else torch.tensor([1.0, NAN, 0.0])
    losses.task(name, logits, labels).backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad.abs().sum(dim=1) > 0).tolist() == [True, False, True]


# regression


def test_a_regression_learns_in_units_of_its_spread_and_is_served_in_its_own():
    losses, readout = made()
    known = np.array([1, 5, 3, 4.0])
    logits = torch.tensor([[0.0], [0.5], [0.0], [9.0], [1.0]])
    errors = logits.squeeze()[[0, 1, 2, 4]].numpy() - (known - known.mean()) / known.std()
    assert losses.task("stars", logits, tensor("stars")).item() == pytest.approx((errors**2).mean(), rel=1e-5)
    served = readout("stars", torch.tensor([[0.0], [1.0], [-1.0]])).squeeze().tolist()
    assert served == pytest.approx([known.mean(), known.mean() + known.std(), known.mean() - known.std()])


def test_a_regression_of_logarithms_has_no_loss_where_it_serves_the_truth():
    losses, readout = made()
    values = np.log1p([0, 10, 99])
    logits = torch.tensor([*((values - values.mean()) / values.std()), 0.0], dtype=torch.float32)[:, None]
    assert losses.task("dwell", logits, tensor("dwell")).item() == pytest.approx(0, abs=1e-6)
    assert readout("dwell", logits)[:3, 0].tolist() == pytest.approx([0, 10, 99], abs=1e-3)


def test_a_regression_is_bounded_by_what_training_saw():
    readout = made()[1]
    assert readout("stars", torch.tensor([[-99.0], [99.0]])).squeeze().tolist() == [1, 5]


@pytest.mark.parametrize(
    ("loss", "by_hand"), [("default", (4 + 0.25) / 2), ("mae", (2 + 0.5) / 2), ("huber", (1.5 + 0.125) / 2)]
)
def test_each_loss_of_a_regression_is_what_its_name_says(loss, by_hand):
    losses, readout = made(loss)
    scale, shift = readout.affine("stars")[:2].tolist()
    labels = torch.tensor([shift + 2.0 * scale, shift - 0.5 * scale])
    known = LABELS["stars"][~np.isnan(LABELS["stars"])]
    away = np.abs(known - np.median(known)) / known.std()
    smooth = np.where(away < 1.0, away**2 / 2, away - 0.5)
    constant = {"default": 1.0, "mae": away.mean(), "huber": smooth.mean()}[loss]
    assert losses.task("stars", torch.zeros(2, 1), labels).item() == pytest.approx(
        by_hand / constant, rel=1e-5
    )


def test_a_label_that_never_varies_can_be_learned_from():
    losses, _ = made()
    losses.prepare("stars", np.array([3.0, 3.0]))
    assert losses.task("stars", torch.zeros(2, 1), torch.tensor([3.0, 3.0])).item() == 0


# quantiles


def test_the_loss_of_quantiles_is_the_mean_check_function_in_units_of_the_spread():
    losses, readout = made()
    logits = torch.tensor([[0.3, -0.2, 0.1]] * 7)
    known = np.log1p(np.delete(LABELS["range"], 3))
    target = (known - known.mean()) / known.std()
    constant = np.quantile(target, [0.1, 0.5, 0.9])
    moved = constant + np.array([0.3, -0.2, 0.1])

    def by_hand(levels):
        errors = [
            share * (one - level) if one > level else (1 - share) * (level - one)
            for one in target
            for share, level in zip((0.1, 0.5, 0.9), levels, strict=True)
        ]
        return sum(errors) / len(errors)

    found = losses.task("range", logits, tensor("range")).item()
    assert found == pytest.approx(by_hand(sorted(moved)) / by_hand(constant), rel=1e-5)
    served = readout("range", torch.zeros(1, 3))[0].tolist()
    assert served == pytest.approx(np.expm1(np.quantile(known, [0.1, 0.5, 0.9])), rel=1e-4)


def test_quantiles_that_are_learned_are_those_of_the_labels():
    losses, readout = made()
    labels = np.random.default_rng(0).exponential(30.0, 4_000)
    losses.prepare("range", labels[:50])
    logits = torch.zeros(3, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.02)
    target = torch.from_numpy(labels.astype(np.float32))
    for _ in range(300):
        optimiser.zero_grad()
        losses.task("range", logits.expand(len(labels), 3), target).backward()
        optimiser.step()
    readout.bound("range", 0.0, math.inf)
    assert readout("range", logits).tolist() == pytest.approx(np.quantile(labels, [0.1, 0.5, 0.9]), rel=0.05)


def test_sorting_is_never_a_worse_fit():
    draw = torch.Generator().manual_seed(0)
    targets, levels = torch.randn(200, generator=draw), torch.randn(200, 4, generator=draw)
    shares = (0.1, 0.3, 0.6, 0.9)
    for target, row in zip(targets, levels, strict=True):
        crossed, ordered = (pinball(target[None], each[None], shares) for each in (row, row.sort().values))
        assert ordered <= crossed + 1e-6


def test_quantiles_of_a_label_that_never_varies_can_be_learned_from():
    losses, _ = made()
    losses.prepare("range", np.array([3.0, 3.0]))
    assert losses.task("range", torch.zeros(2, 3), torch.tensor([3.0, 3.0])).item() == pytest.approx(0)


# ranking


def rank(logits: list[list[float]], labels: list[list[float]], mask: list[list[int]] | None = None) -> float:
    shown = torch.ones(len(labels), len(labels[0])) if mask is None else torch.tensor(mask)
    return Losses.ranking(torch.tensor(logits).unsqueeze(-1), torch.tensor(labels), shown).mean.item()


def test_ranking_is_the_surprise_of_the_clicked_among_the_shown():
    shares = [math.exp(2) / (math.exp(2) + math.e + 1), 1 / (math.exp(2) + math.e + 1)]
    by_hand = -(math.log(shares[0]) + math.log(shares[1])) / 2 / math.log(3)
    assert rank([[2.0, 1.0, 0.0]], [[1, 0, 1]]) == pytest.approx(by_hand)


def test_a_uniform_guess_ranks_with_a_loss_of_one():
    assert rank([[0.0] * 4, [5.0] * 4], [[1, 0, 0, 1], [0, 1, NAN, NAN]]) == pytest.approx(1)


@pytest.mark.parametrize("other", [[0, 0, 0], [1, 1, 1], [NAN, NAN, NAN], [1, NAN, NAN], [NAN, 0, 0]])
def test_an_impression_of_one_kind_has_no_part_in_ranking(other):
    alone = rank([[1.0, 0.0, 2.0]], [[1, 0, 0]])
    assert rank([[1.0, 0.0, 2.0], [3.0, 2.0, 1.0]], [[1, 0, 0], other]) == pytest.approx(alone)
    assert rank([[3.0, 2.0, 1.0]], [other]) == 0


def test_padding_and_rows_without_a_label_are_not_ranked_against():
    alone = rank([[1.0, 0.0]], [[1, 0]])
    assert rank([[1.0, 0.0, 50.0]], [[1, 0, 0]], [[1, 1, 0]]) == pytest.approx(alone)
    assert rank([[1.0, 0.0, 50.0]], [[1, 0, NAN]]) == pytest.approx(alone)


def test_ranking_does_not_see_the_level_of_an_impression():
    assert rank([[1.0, 0.0, 2.0]], [[1, 0, 0]]) == pytest.approx(rank([[11.0, 10.0, 12.0]], [[1, 0, 0]]))


def test_the_focal_loss_is_the_papers_in_units_of_the_best_constant():
    config = TaskConfig(type="binary", label="x", loss="focal")
    losses = Losses(TASKS[:1], {"click": config}, Readout(TASKS[:1], {"click": config}))
    labels = np.array([1.0] + [0.0] * 4)
    losses.prepare("click", labels)
    logits, wanted = torch.randn(5, 1), torch.from_numpy(labels).float()

    def by_hand(chance: torch.Tensor) -> torch.Tensor:
        right = torch.where(wanted > 0, chance, 1 - chance)
        return (-((1 - right) ** 2) * torch.log(right)).mean()

    best = min(by_hand(torch.full((5,), chance)) for chance in np.linspace(0.01, 0.99, 981))
    expected = by_hand(torch.sigmoid(logits[:, 0])) / best
    assert losses.task("click", logits, wanted).item() == pytest.approx(expected.item(), rel=1e-3)


def ordinal(labels: np.ndarray) -> tuple[Losses, Readout]:
    config = TaskConfig(type="regression", label="x", loss="ordinal", grades=(1.0, 2.0, 3.0, 5.0))
    task = (Task(name="stars", type="regression"),)
    readout = Readout(task, {"stars": config})
    losses = Losses(task, {"stars": config}, readout)
    losses.prepare("stars", labels)
    return losses, readout


STARS = np.array([1.0, 2.0, 2.0, 5.0, 5.0, 5.0, 3.0, 5.0, NAN])


def test_grades_begin_at_their_shares_and_a_head_that_says_nothing_loses_one_and_serves_the_mean():
    losses, readout = ordinal(STARS)
    nothing = torch.zeros(9, 1)
    assert losses.task("stars", nothing, torch.from_numpy(STARS).float()).item() == pytest.approx(
        1.0, abs=1e-4
    )
    assert readout("stars", nothing[:1]).item() == pytest.approx(np.nanmean(STARS), rel=1e-4)


def test_the_loss_of_grades_is_the_surprise_of_the_cumulative_link_model():
    losses, readout = ordinal(STARS)
    logits, known = torch.randn(8, 1), torch.from_numpy(STARS[:8])
    below = torch.sigmoid(readout.cuts("stars") - logits)  # chance of a grade at or below each cut
    chances = torch.diff(torch.cat([torch.zeros(8, 1), below, torch.ones(8, 1)], dim=1), dim=1)
    places = torch.searchsorted(torch.tensor([1.0, 2.0, 3.0, 5.0]).double(), known)
    surprise = -torch.log(chances.gather(1, places[:, None])).mean().item()
    shares = np.array([1, 2, 1, 4]) / 8
    expected = surprise / -(shares * np.log(shares)).sum()
    assert losses.task("stars", logits, known.float()).item() == pytest.approx(expected, rel=1e-4)
    served = (chances * torch.tensor([1.0, 2.0, 3.0, 5.0])).sum(dim=1)
    torch.testing.assert_close(readout("stars", logits)[:, 0], served, rtol=1e-4, atol=1e-5)


def test_cuts_learn_and_stay_in_order():
    losses, readout = ordinal(STARS)
    losses.task("stars", torch.randn(9, 1), torch.from_numpy(STARS).float()).backward()
    assert readout.raw["stars"].grad.abs().min() > 0
    with torch.no_grad():
        readout.raw["stars"].normal_(std=5.0)
    assert (readout.cuts("stars").diff() > 0).all()


def test_a_label_that_is_no_grade_is_named():
    with pytest.raises(ConfigError, match=r"tasks\.stars\.grades: 4 is a label but no grade"):
        ordinal(np.array([1.0, 4.0]))


# what a teacher says


def total(parts: list[Part]) -> float:
    return sum(part.mean.item() for part in parts)


@pytest.mark.parametrize("loss", ["default", "mae", "huber"])
def test_a_teachers_answers_count_as_labels_would_where_labels_are(loss):
    losses, _ = made(loss)
    for name, share in (("click", 0.3), ("stars", 0.5), ("mood", 0.8)):
        losses._configs[name] = losses._configs[name].model_copy(update={"taught": share, "ranking": False})
        labels, width = tensor(name)[None], WIDTHS[name]
        logits, told = torch.randn(2, *labels.shape, width)
        mask = torch.ones(labels.shape)
        [alone] = losses.joint(name, logits, labels, mask)
        mixed = losses.joint(name, logits, labels, mask, taught=told)
        known = losses.known(name, labels)
        assert all(part.rows == alone.rows == known.sum() for part in mixed)
        one, other = logits[known], told[known]
        by_hand = {
            "click": -(torch.sigmoid(other) * functional.logsigmoid(one)
                       + torch.sigmoid(-other) * functional.logsigmoid(-one)).mean(),
            "mood": -(torch.softmax(other, -1) * torch.log_softmax(one, -1)).sum(-1).mean(),
            "stars": {"default": (one - other).square().mean(), "mae": (one - other).abs().mean(),
                      "huber": functional.smooth_l1_loss(one, other)}[loss],
        }[name]  # fmt: skip
        expected = (1 - share) * alone.mean.item() + share * by_hand.item() / losses._scales[name]
        assert sum(part.mean.item() for part in mixed) == pytest.approx(expected, rel=1e-5)


def test_each_row_counts_the_same_whether_it_has_a_teacher_or_not():
    losses, _ = made()
    losses._configs["click"] = losses._configs["click"].model_copy(update={"taught": 0.9, "ranking": False})
    labels, logits = tensor("click")[None], torch.randn(1, 5, 1)
    told = torch.tensor([NAN, NAN, 1.0, 1.0, NAN]).reshape(1, 5, 1)  # the fourth has no label

    def of(rows: list[int], teacher: float) -> float:
        some = torch.full_like(told, teacher)
        mask = torch.ones(1, len(rows))
        return total(losses.joint("click", logits[:, rows], labels[:, rows], mask, taught=some[:, rows]))

    found = losses.joint("click", logits, labels, torch.ones(1, 5), taught=told)
    assert [part.rows for part in found] == [4, 4]
    assert total(found) == pytest.approx((of([2], 1.0) + 3 * of([0, 1, 4], NAN)) / 4, rel=1e-5)
    [plain] = losses.joint("click", logits, labels, torch.ones(1, 5))
    nobody = losses.joint("click", logits, labels, torch.ones(1, 5), taught=torch.full_like(told, NAN))
    assert total(nobody) == pytest.approx(plain.mean.item())


def test_rows_without_a_label_learn_from_no_teacher():
    losses, _ = made()
    losses._configs["click"] = losses._configs["click"].model_copy(update={"taught": 0.5, "ranking": False})
    logits = torch.randn(1, 3, 1, requires_grad=True)
    labels = torch.tensor([[1.0, NAN, 0.0]])
    found = losses.joint("click", logits, labels, torch.ones(1, 3), taught=torch.ones(1, 3, 1))
    sum(part.mean for part in found).backward()
    assert (logits.grad.flatten() != 0).tolist() == [True, False, True]
    missing = torch.full((1, 3), NAN)
    nothing = losses.joint("click", logits, missing, torch.ones(1, 3), taught=torch.ones(1, 3, 1))
    assert (total(nothing), [part.rows for part in nothing]) == (0.0, [0, 0])
