import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from model_store.engine import CPU, Engine
from model_store.features import FeatureSet
from model_store.history import GAP_BUCKETS
from training.export import graphs
from training.study import prepare

GRAPHS = (
    "text_encoder.onnx", "user_encoder.onnx", "heads.onnx", "scorer.onnx", "scorer.query.onnx", "scorer.items.onnx",
    "scorer.links.onnx",
)  # fmt: skip


def run(opened, name: str, **feeds: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(opened.path(name), providers=[CPU])
    return dict(zip([node.name for node in session.get_outputs()], session.run(None, feeds), strict=True))


def close(found: np.ndarray, expected: torch.Tensor) -> None:
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("rows", "length"), [(1, 2), (1, 32), (3, 7), (5, 3)])
@torch.no_grad()
def test_texts_of_any_number_and_length_are_what_torch_computes(opened, bench, rows, length):
    network = bench.network
    ids = torch.randint(5, 300, (rows, length), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, 1 + length // 2 :] = 0
    found = run(opened, "text_encoder.onnx", input_ids=ids.numpy(), attention_mask=mask.numpy())
    pooled = network.text.pooled(ids, mask)
    close(found["vector"], network.text.project(pooled))
    alone = [task.name for task in network.tasks if not task.online]
    assert list(found) == ["vector", *alone]
    for name in alone:
        close(found[name], network.readout(name, network.text_heads(name, pooled)))


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (1, 51), (4, 6)])
@torch.no_grad()
def test_histories_of_any_number_and_length_are_what_torch_computes(opened, bench, rows, length):
    random = np.random.default_rng(0)
    dimension, events = opened.manifest.dimension, len(opened.manifest.events)
    feeds = {
        "vectors": random.normal(size=(rows, length, dimension)).astype(np.float32),
        "events": random.integers(0, events, (rows, length)),
        "gaps": random.integers(0, GAP_BUCKETS, (rows, length)),
        "hours": random.integers(0, 24, (rows, length)),
        "mask": (random.random((rows, length)) < 0.7).astype(np.float32),
    }
    found = run(opened, "user_encoder.onnx", **feeds)
    close(
        found["user"], bench.network.user(**{name: torch.from_numpy(value) for name, value in feeds.items()})
    )


@pytest.mark.parametrize("rows", [1, 2, 300])
@pytest.mark.parametrize("query", [True, False])
@torch.no_grad()
def test_candidates_of_any_number_are_what_torch_computes_by_the_unfolded_layer(opened, bench, rows, query):
    network, draw = bench.network, torch.Generator().manual_seed(rows)
    dimension, width = opened.manifest.dimension, bench.dataset.context.shape[1]
    user, asked, items = (
        torch.nn.functional.normalize(torch.randn(count, dimension, generator=draw), dim=-1)
        for count in (1, 1, rows)
    )
    asked = asked if query else torch.zeros_like(asked)
    context = torch.randn(rows, width, generator=draw)
    feeds = {"user": user, "query": asked, "items": items, "context": context}
    found = run(opened, "heads.onnx", **{name: value.numpy() for name, value in feeds.items()})
    logits = network.heads(user, asked, items[None], context[None])
    assert list(found) == list(logits)
    for name, logit in logits.items():
        expected = network.readout(name, logit[0])
        scale = expected.abs().clamp(min=1.0)
        close(found[name] / scale.numpy(), expected / scale)


def test_every_graph_stands_alone_and_names_its_operators_by_the_stated_set(opened):
    for name in GRAPHS:
        model = onnx.load(opened.path(name), load_external_data=False)
        onnx.checker.check_model(model)
        assert all(not weight.external_data for weight in model.graph.initializer)
        assert {imported.version for imported in model.opset_import if imported.domain == ""} == {
            opened.manifest.opset
        }
        assert {imported.domain for imported in model.opset_import} == {""}
    assert opened.manifest.opset == graphs.OPSET


def test_exporting_leaves_no_dropout_in_any_graph(opened):
    for name in GRAPHS:
        nodes = onnx.load(opened.path(name)).graph.node
        assert not [
            node for node in nodes if node.op_type in ("Dropout", "RandomUniform", "RandomUniformLike")
        ]


def test_the_engine_takes_the_graphs_as_they_are(opened):
    assert Engine(opened, "cpu", precision="fp32").manifest == opened.manifest


@pytest.mark.parametrize("width", [2, 5])
@torch.no_grad()
def test_quantiles_are_sorted_and_shifted_inside_the_graph(workbench, tmp_path, width):
    shares = [(place + 1) / (width + 1) for place in range(width)]
    read = {"type": "quantile", "label": "dwell", "transform": "log1p", "quantiles": shares}
    bench = workbench(tasks={"click": {"type": "binary", "label": "clicked"}, "dwell": read})
    network, draw = bench.network, torch.Generator().manual_seed(width)
    prepare(network, bench.dataset)
    network.readout.shift("dwell", torch.randn(width, generator=draw).tolist())
    network.heads.mix.towers["dwell"][-1].weight.normal_(generator=draw)
    network.eval()
    features = FeatureSet(bench.dataset.features, bench.dataset.clock)
    graphs.export(network, tmp_path, features)
    dimension = network.text.projection.out_features
    user, items = (
        torch.nn.functional.normalize(torch.randn(count, dimension, generator=draw), dim=-1)
        for count in (1, 50)
    )
    told = torch.randn(50, features.width, generator=draw)
    session = onnxruntime.InferenceSession(tmp_path / "heads.onnx", providers=[CPU])
    feeds = {"user": user, "query": torch.zeros_like(user), "items": items, "context": told}
    found = session.run(["dwell"], {name: value.numpy() for name, value in feeds.items()})[0]
    logits = network.heads(user, torch.zeros_like(user), items[None], told[None])["dwell"][0]
    assert (logits.diff(dim=1) < 0).any(), "the head itself crosses"
    assert (np.diff(found, axis=1) >= 0).all()
    np.testing.assert_allclose(found, network.readout("dwell", logits), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "model", [{"sharing": "ple"}, {"sharing": "alone"}, {"projections": True}, {"factors": 3}]
)
@torch.no_grad()
def test_heads_that_share_otherwise_are_what_torch_computes(workbench, tmp_path, model):
    bench, draw = workbench(model=model), torch.Generator().manual_seed(0)
    network = bench.network
    prepare(network, bench.dataset)
    for parameter in network.heads.parameters():
        parameter.normal_(std=0.3, generator=draw)
    network.eval()
    features = FeatureSet(bench.dataset.features, bench.dataset.clock)
    graphs.export(network, tmp_path, features)
    dimension = network.width
    user, query, items = (
        torch.nn.functional.normalize(torch.randn(count, dimension, generator=draw), dim=-1)
        for count in (1, 1, 40)
    )
    feeds = {"user": user, "query": query, "items": items, "context": torch.randn(40, features.width)}
    session = onnxruntime.InferenceSession(tmp_path / "heads.onnx", providers=[CPU])
    found = session.run(None, {name: value.numpy() for name, value in feeds.items()})
    logits = network.heads(user, query, items[None], feeds["context"][None])
    for values, (name, logit) in zip(found, logits.items(), strict=True):
        expected = network.readout(name, logit[0]).numpy()
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4)
