import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from model_store.bundle import MANIFEST, Bundle
from model_store.engine import CUDA, Engine, cores, providers
from model_store.errors import BundleMismatch, DeviceMissing
from model_store.history import History
from model_store.manifest import Features


@pytest.fixture(scope="module")
def opened(bundle: Path) -> Bundle:
    return Bundle.open(bundle)


@pytest.fixture(scope="module", params=["fp32", "int8"])
def engine(request: pytest.FixtureRequest, opened: Bundle) -> Engine:
    return Engine(opened, "cpu", precision=request.param)


@pytest.fixture
def texts(opened: Bundle) -> list[str]:
    lines = opened.path("items.jsonl").read_text().splitlines()
    return ["", *(json.loads(line)["text"][: 4 + 3 * number] for number, line in enumerate(lines[:40]))]


def pretend(bundle: Bundle, **changed) -> Bundle:
    """The same files under a manifest that says something else."""
    return Bundle(bundle.folder, bundle.manifest.model_copy(update=changed))


def request(bundle: Bundle, rows: int) -> tuple[np.ndarray, ...]:
    random, width = np.random.default_rng(0), bundle.manifest.dimension
    user, query = (random.normal(size=width).astype(np.float32) for _ in range(2))
    features = Engine(bundle, "cpu").features.width
    return user, query, bundle.items.vectors[:rows], random.normal(size=(rows, features)).astype(np.float32)


def test_a_text_is_a_unit_vector_and_the_answer_of_every_task_that_reads_it(engine, texts):
    manifest = engine.manifest
    for text in texts:
        encoded = engine.text(text)
        assert encoded.vector.shape == (manifest.dimension,)
        assert np.linalg.norm(encoded.vector) == pytest.approx(1, abs=1e-5)
        assert {name: value.shape for name, value in encoded.outputs.items()} == {
            task.name: (task.width,) for task in manifest.text_tasks
        }


def test_a_text_is_the_same_bits_whatever_other_threads_encode_meanwhile(engine, texts):
    alone = [engine.text(text) for text in texts]
    order = np.random.default_rng(0).permutation(len(texts) * 8) % len(texts)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda place: engine.text(texts[place]), order))
    for place, found in zip(order, together, strict=True):
        np.testing.assert_array_equal(found.vector, alone[place].vector)
        for name, value in alone[place].outputs.items():
            np.testing.assert_array_equal(found.outputs[name], value)


def test_a_text_equals_its_tokens(engine):
    one, other = engine.text("red mug"), engine.tokens(engine.tokenizer.encode("red mug"))
    np.testing.assert_array_equal(one.vector, other.vector)


def test_int8_gives_a_text_the_same_bits_alone_and_in_any_batch(opened, texts):
    engine = Engine(opened, "cpu", precision="int8")
    assert engine.exact
    ids = [engine.tokenizer.encode(text) for text in texts]
    assert len(set(map(len, ids))) > 10
    alone = [engine.rows([each])[0] for each in ids]
    random = np.random.default_rng(1)
    for size in (1, 2, 3, 5, 8, 17, 64):
        for _ in range(4):
            places = random.integers(0, len(ids), size)
            rows = engine.rows([ids[place] for place in places])
            for place, row in zip(places, rows, strict=True):
                np.testing.assert_array_equal(row, alone[place])


def test_nothing_is_promised_of_fp32_in_a_batch(opened):
    assert not Engine(opened, "cpu", precision="fp32").exact


def test_int8_is_another_graph_but_not_far_from_fp32(opened, texts):
    fp32, int8 = (Engine(opened, "cpu", precision=name) for name in ("fp32", "int8"))
    pairs = [(fp32.text(text).vector, int8.text(text).vector) for text in texts]
    assert any((one != other).any() for one, other in pairs)
    assert min(one @ other for one, other in pairs) > 0.9


def test_without_a_precision_the_manifests_is_in_force(opened):
    for precision in ("fp32", "int8"):
        served = Engine(pretend(opened, precision=precision), "cpu").text("red mug").vector
        np.testing.assert_array_equal(
            served, Engine(opened, "cpu", precision=precision).text("red mug").vector
        )


def test_an_empty_history_has_a_user_vector_of_its_own(opened):
    engine, width = Engine(opened, "cpu"), opened.manifest.dimension
    nothing = History(np.zeros((0, width), dtype=np.float32), np.zeros(0, dtype=np.int64), np.zeros(0))
    something = History(opened.items.vectors[:1], np.ones(1, dtype=np.int64), np.array([1.7e9]))
    vectors = [
        engine.user(history) for history in (nothing, something, nothing.opened_by(opened.items.vectors[0]))
    ]
    assert [np.linalg.norm(vector) for vector in vectors] == pytest.approx([1, 1, 1], abs=1e-5)
    assert len({vector.tobytes() for vector in vectors}) == 3


def test_a_user_vector_knows_nothing_of_now(opened):
    """The same history, moved by whole weeks in UTC, has the same gaps and hours."""
    engine = Engine(pretend(opened, timezone="UTC"), "cpu")
    times = 1.7e9 + np.array([0.0, 4e3, 9e4])
    events = np.array([1, 1, 1])
    vectors = [
        engine.user(History(opened.items.vectors[:3], events, times + weeks * 7 * 86_400))
        for weeks in (0, 1, 100)
    ]
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_heads_answer_every_online_task_for_every_candidate(opened):
    answers = Engine(opened, "cpu").heads(*request(opened, 7))
    assert {name: value.shape for name, value in answers.items()} == {
        task.name: (7, task.width) for task in opened.manifest.online_tasks
    }
    for task in opened.manifest.online_tasks:
        if task.type == "binary":
            assert ((answers[task.name] >= 0) & (answers[task.name] <= 1)).all()
        if task.type == "multiclass":
            np.testing.assert_allclose(answers[task.name].sum(axis=1), 1, atol=1e-5)


def test_a_candidate_is_scored_alike_alone_and_among_others(opened):
    engine, (user, query, items, context) = Engine(opened, "cpu"), request(opened, 30)
    together = engine.heads(user, query, items, context)
    alone = engine.heads(user, query, items[11:12], context[11:12])
    for name, value in together.items():
        np.testing.assert_allclose(value[11], alone[name][0], rtol=1e-4, atol=1e-5)


def test_no_query_is_a_query_of_zeros(opened):
    engine, (user, query, items, context) = Engine(opened, "cpu"), request(opened, 5)
    none, zeros = engine.heads(user, None, items, context), engine.heads(user, query * 0, items, context)
    for name, value in none.items():
        np.testing.assert_array_equal(value, zeros[name])


# what does not fit together


@pytest.mark.parametrize(
    ("changed", "graph"),
    [
        ({"dimension": 8}, "text encoder"),
        ({"features": Features(use=("hour",))}, "heads"),
        ({"features": Features(use=("hour", "weekday", *(f"share:{n}" for n in range(40))))}, "heads"),
    ],
)  # fmt: skip
def test_graphs_of_another_width_than_the_manifest_says_are_refused(opened, changed, graph):
    with pytest.raises(BundleMismatch, match=f"the {graph} has .* the manifest says"):
        Engine(pretend(opened, **changed), "cpu")


@pytest.mark.parametrize("change", ["left out", "renamed", "in another order", "wider"])
@pytest.mark.parametrize("online", [True, False])
def test_graphs_with_other_tasks_than_the_manifest_are_refused(opened, change, online):
    tasks = list(opened.manifest.tasks)
    places = [place for place, task in enumerate(tasks) if task.online == online]
    first, second = places[:2]
    if change == "left out":
        del tasks[first]
    elif change == "renamed":
        tasks[first] = tasks[first].model_copy(update={"name": "other"})
    elif change == "in another order":
        tasks[first], tasks[second] = tasks[second], tasks[first]
    else:
        tasks[first] = tasks[first].model_copy(
            update={"classes": tuple("abcdefghijklmnopqrstuvwxyz0123456789")}
        )
    with pytest.raises(BundleMismatch, match="heads" if online else "text encoder"):
        Engine(pretend(opened, tasks=tuple(tasks)), "cpu")


def test_a_graph_in_the_place_of_another_is_refused(bundle, opened, tmp_path):
    folder = Path(shutil.copytree(bundle, tmp_path / "copy"))
    shutil.copyfile(folder / "heads.onnx", folder / "user_encoder.onnx")
    with pytest.raises(BundleMismatch, match="the user encoder has"):
        Engine(Bundle(folder, opened.manifest), "cpu")


def test_the_manifest_on_disk_is_that_of_the_engine(bundle, opened):
    record = json.loads((bundle / MANIFEST).read_text())
    assert Engine(opened, "cpu").manifest.fingerprint == record["fingerprint"]


# devices


def test_cuda_asked_for_and_absent_is_said_with_the_fix():
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    with pytest.raises(DeviceMissing, match="CHORUS_DEVICE=cpu"):
        providers("cuda")


def test_the_engine_refuses_cuda_before_it_opens_a_graph(opened):
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    with pytest.raises(DeviceMissing):
        Engine(opened, "cuda")


def test_without_cuda_auto_is_the_cpu(opened):
    assert providers("cpu") == ["CPUExecutionProvider"]
    found = Counter(providers("auto"))
    assert found["CPUExecutionProvider"] == 1
    assert Engine(opened, "auto").device == ("cuda" if CUDA in found else "cpu")


def test_there_is_at_least_one_core():
    assert cores() >= 1


def test_importing_the_engine_leaves_nothing_at_home_and_reports_to_nobody(tmp_path):
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    command = [
        sys.executable,
        "-c",
        "import model_store.engine, os; print(os.environ['ORT_DISABLE_TELEMETRY'])",
    ]
    done = subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, check=True, text=True
    )
    assert done.stdout.strip() == "1"
    assert list(tmp_path.rglob("*onnxruntime*")) == []
