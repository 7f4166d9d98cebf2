"""What users want, from the label to the exported graph: a task that reads the user's vector alone."""

import numpy as np
import pytest
import torch
from rich.progress import Progress

from app.settings import Settings
from model_store.bundle import Bundle
from model_store.engine import Engine
from model_store.shelf import Shelf
from tests.live import running
from tests.training import toy
from training import alone, pipeline, scorecard
from training.export.publish import publish
from training.losses import Losses
from training.pipeline import Workbench
from training.predict import predict, represent
from training.run import Run

CLICK = {"type": "binary", "label": "clicked", "main": True}
WANTS = {"type": "multilabel", "inputs": "user", "label": "kind", "given": "click"}
TASKS = {"click": CLICK, "kind": {"type": "multiclass", "inputs": "item", "label": "kind"}, "wants": WANTS}


def test_what_is_wanted_is_what_the_clicked_items_of_a_request_are():
    rows = [
        {
            "user": "u",
            "item": item,
            "time": toy.START + 9 * request,
            "impression": f"s{request}",
            "click": click,
        }
        for request, shown in enumerate(["i1+ i2- i3+", "i2+ i5+", "i1- i2-", "i0+ i4-", "i4+ i3-"])
        for item, click in ((each[:-1], {"+": 1.0, "-": 0.0, "?": None}[each[-1]]) for each in shown.split())
    ]
    rows += [
        {"user": None, "item": "i2", "time": toy.START + 99, "impression": "s9", "query": "q", "click": 1.0}
    ]
    dataset = toy.build(rows, toy.settings(tasks=TASKS))
    assert next(task for task in dataset.tasks if task.name == "wants").classes == toy.KINDS
    nan = [np.nan] * 2  # nothing was clicked, nothing is known of what was (i0), or nobody did
    np.testing.assert_array_equal(dataset.interests["wants"], [[0, 1], [1, 1], nan, nan, [1, 0], nan])


@pytest.fixture(scope="module")
def trained(workbench, progress: Progress, tmp_path_factory) -> tuple[Workbench, Run]:
    bench = workbench(tasks=TASKS, training={"epochs": 3})
    run = Run(tmp_path_factory.mktemp("wants") / "run")
    run.folder.mkdir()
    pipeline.train(bench, run, progress)
    return bench, run


def test_requests_in_which_nothing_was_wanted_take_no_part_in_the_loss(trained):
    bench, _ = trained
    losses = Losses(bench.dataset.tasks, bench.dataset.config.tasks, bench.network.readout)
    labels = np.array([[1.0, 0.0], [np.nan, np.nan], [1.0, 1.0]])
    losses.prepare("wants", labels)
    logits = torch.tensor([[0.3, -0.2], [5.0, -5.0], [1.0, 0.5]], requires_grad=True)
    told = torch.from_numpy(labels).float()
    chance = torch.sigmoid(logits.detach()[[0, 2]])
    surprise = -(told[[0, 2]] * chance.log() + (1 - told[[0, 2]]) * (1 - chance).log()).mean()
    entropy = (0.0 + np.log(2.0)) / 2  # of the shares 1 and 1/2
    loss = losses.task("wants", logits, told)
    assert loss.item() == pytest.approx(surprise.item() / entropy, rel=1e-5)
    loss.backward()
    assert logits.grad[1].tolist() == [0.0, 0.0]
    assert losses.known("wants", told).tolist() == [True, False, True]
    nothing = losses.task("wants", logits, torch.full((3, 2), torch.nan))
    assert nothing.item() == 0.0


def test_interests_are_read_from_the_users_vector_alone(trained):
    bench, _ = trained
    represented = represent(bench.network, bench.dataset, bench.texts)
    said = predict(bench.network, bench.dataset, represented, "test")
    head = bench.network.user_heads.heads["wants"]
    logits = said.users @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    np.testing.assert_allclose(said.values["wants"], 1 / (1 + np.exp(-logits)), atol=1e-5)


@torch.no_grad()
def test_interests_are_read_from_the_text_part_of_the_vector_where_items_have_factors(workbench):
    network = workbench(tasks=TASKS, model={"factors": 2}).network
    users = torch.randn(3, network.width)
    others = torch.cat([users[:, :8], torch.randn(3, network.width - 8)], dim=1)
    assert torch.equal(network.interests(users)["wants"], network.interests(others)["wants"])


def test_the_users_encoder_learns_from_what_is_wanted(workbench):
    bench = workbench(tasks={"click": {**CLICK, "weight": 0.0}, "wants": WANTS})
    single = alone.only(bench.dataset, "wants")
    assert set(single.interests) == {"wants"}
    logits = bench.network.interests(
        bench.network.user(torch.randn(2, 3, 8), *torch.zeros(3, 2, 3).long(), torch.ones(2, 3))
    )
    logits["wants"].sum().backward()
    assert bench.network.user.out.weight.grad.abs().sum() > 0


def test_what_is_exported_says_what_torch_says_and_is_proved(trained, progress, tmp_path):
    bench, run = trained
    bundle = publish(bench, run, Shelf(tmp_path), progress)
    opened = Bundle.open(bundle.folder)
    assert opened.manifest.parity["wants"] < 1e-4
    assert [task.name for task in opened.manifest.user_tasks] == ["wants"]
    assert "wants" not in {task.name for task in (*opened.manifest.text_tasks, *opened.manifest.answered)}
    user = np.random.default_rng(0).normal(size=8).astype(np.float32)
    found = Engine(opened, "cpu").interests(user[None])[0]
    with torch.no_grad():
        logits = bench.network.interests(torch.from_numpy(user)[None])["wants"]
        expected = bench.network.readout("wants", logits)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not any(
        "wants" in tasks for line in opened.lines("golden.jsonl") for tasks in line["expected"].values()
    )


def test_interests_are_judged_beside_what_everybody_wants_and_alone(trained, progress):
    bench, run = trained
    record = scorecard.evaluate(bench, run, progress, alone=True)
    for method in ("joint", "alone", "constant"):
        assert 0.0 <= record["tests"][method]["wants"]["macro_auc"] <= 1.0
    assert record["headlines"]["wants"] == "macro_auc"


def test_interests_are_served_to_somebody_and_compared_with_the_golden_ones(
    trained, progress, redis_server, tmp_path
):
    bench, run = trained
    bundle = publish(bench, run, Shelf(tmp_path), progress)
    line = next(line for line in bundle.lines("golden.jsonl") if line["interests"])
    settings = Settings(store=tmp_path, redis_url=redis_server.url, redis_timeout_ms=2_000)
    with running(settings) as client:
        answer = client.post("/recommend", json=line["request"])
        assert answer.status_code == 200, answer.text
        assert answer.json()["interests"]["wants"] == pytest.approx(line["interests"]["wants"], abs=1e-3)
        nobody = client.post("/recommend", json={"query": "even thing", "k": 2})
        assert "interests" not in nobody.json()
