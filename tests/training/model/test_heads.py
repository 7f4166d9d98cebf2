import pytest
import torch

from model_store.manifest import Task
from tests.training import toy
from training.model.heads import OUTLIER, PairHeads, TextHeads, product

D, F = 8, 5
CLASSES = ("a", "b", "c")
TYPES = {"binary": (), "regression": (), "multiclass": CLASSES}
TASKS = tuple(
    Task(name=f"{kind}_{type_}", type=type_, inputs=kind, classes=classes)
    for kind in ("pair", "user_item", "query_item")
    for type_, classes in TYPES.items()
)
ALL = [task.name for task in TASKS]
SHARINGS = (
    {"sharing": "mmoe"}, {"sharing": "mmoe", "experts": 1}, {"sharing": "shared_bottom"}, {"sharing": "alone"},
    {"sharing": "ple", "experts": 2}, {"sharing": "ple", "experts": 1, "own_experts": 2}, {"projections": True},
    {"factors": 2}, {"factors": 2, "projections": True},
    {"sharing": "ple", "experts": 2, "levels": 2}, {"sharing": "ple", "experts": 1, "own_experts": 2, "levels": 3},
)  # fmt: skip
SIGHTS = ({}, {"sharing": "ple"}, {"sharing": "ple", "levels": 2}, {"sharing": "ple", "levels": 3})


def made(tasks=TASKS, *, drawn=True, given=None, **model) -> PairHeads:
    """Heads whose every parameter matters, or as training begins."""
    torch.manual_seed(0)
    heads = PairHeads(tasks, toy.settings(model={"experts": 3, **model}).model, F, given=given).eval()
    if drawn:
        with torch.no_grad():
            for parameter in heads.parameters():
                parameter.normal_(std=0.3)
            heads.standardise(0.5 + 2.0 * torch.randn(50, F))
    return heads


def request(rows: int = 6, seed: int = 1, *, query: bool = True, width: int = D) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    unit = torch.nn.functional.normalize
    given = {
        "user": unit(torch.randn(1, width, generator=draw), dim=-1),
        "query": unit(torch.randn(1, width, generator=draw), dim=-1),
        "items": unit(torch.randn(rows, width, generator=draw), dim=-1),
        "context": torch.randn(rows, F, generator=draw),
    }
    return given if query else {**given, "query": torch.zeros(1, width)}


def forward(heads: PairHeads, known: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    found = heads(known["user"], known["query"], known["items"][None], known["context"][None])
    return {name: logits[0] for name, logits in found.items()}


def moved(heads: PairHeads, **changed: torch.Tensor) -> set[str]:
    """Tasks whose logits move by more than rounding when a part of the request is another."""
    known = request()
    before, after = forward(heads, known), forward(heads, {**known, **changed})
    return {name for name in before if not torch.allclose(before[name], after[name], rtol=1e-5, atol=1e-5)}


# folded


@torch.no_grad()
@pytest.mark.parametrize("query", [True, False])
@pytest.mark.parametrize("model", SHARINGS)
def test_folded_is_forward(model, query):
    heads = made(**model)
    known = request(query=query, width=heads.width)
    slow, fast = forward(heads, known), heads.folded(**known)
    assert list(slow) == list(fast) == ALL
    for name, logits in slow.items():
        torch.testing.assert_close(fast[name], logits, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["pair", "user_item", "query_item"])
@pytest.mark.parametrize("query", [True, False])
def test_folded_is_forward_for_tasks_of_one_kind_alone(kind, query):
    heads, known = made([task for task in TASKS if task.inputs == kind]), request(query=query)
    for name, logits in forward(heads, known).items():
        torch.testing.assert_close(heads.folded(**known)[name], logits, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_batch_of_requests_is_each_alone():
    heads, known = made(), [request(seed=seed, query=seed != 1) for seed in range(3)]
    stacked = {name: torch.stack([one[name] for one in known]) for name in known[0]}
    found = heads(stacked["user"][:, 0], stacked["query"][:, 0], stacked["items"], stacked["context"])
    for row, one in enumerate(known):
        for name, logits in heads.folded(**one).items():
            torch.testing.assert_close(found[name][row], logits, rtol=1e-5, atol=1e-5)


# what a task may see


@torch.no_grad()
@pytest.mark.parametrize("model", SIGHTS)
def test_what_a_query_item_task_says_does_not_depend_on_user_or_context(model):
    heads, other = made(**model), request(seed=2)
    assert moved(heads, user=other["user"]) == {name for name in ALL if not name.startswith("query_item")}
    assert moved(heads, context=other["context"]) == {name for name in ALL if name.startswith("pair")}


@torch.no_grad()
@pytest.mark.parametrize("model", SIGHTS)
def test_what_a_user_item_task_says_does_not_depend_on_query_or_context(model):
    heads, other = made(**model), request(seed=2)
    expected = {name for name in ALL if not name.startswith("user_item")}
    assert moved(heads, query=other["query"]) == expected
    assert moved(heads, query=torch.zeros(1, D)) == expected


@torch.no_grad()
def test_every_task_depends_on_the_item():
    assert moved(made(), items=request(seed=2)["items"]) == set(ALL)


@pytest.mark.parametrize("model", SIGHTS)
def test_no_gradient_of_a_task_reaches_what_it_may_not_see(model):
    """Nor by a path that an activation happens to close."""
    heads, known = made(**model), {name: value.requires_grad_() for name, value in request().items()}
    hidden = {"pair": (), "user_item": ("query", "context"), "query_item": ("user", "context")}
    for name, logits in forward(heads, known).items():
        unseen = [known[part] for part in hidden[name.rpartition("_")[0]]]
        if unseen:
            found = torch.autograd.grad(logits.sum(), unseen, retain_graph=True, allow_unused=True)
            assert all(gradient is None or not gradient.any() for gradient in found)


@torch.no_grad()
def test_a_candidate_does_not_see_the_candidates_beside_it():
    heads, known = made(), request()
    alone = heads.folded(known["user"], known["query"], known["items"][2:3], known["context"][2:3])
    for name, logits in heads.folded(**known).items():
        torch.testing.assert_close(logits[2:3], alone[name], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_an_absent_query_is_a_state_of_its_own_and_not_only_a_vector_of_zeros():
    heads, known = made(), request(query=False)
    before = forward(heads, known)
    heads.no_query.add_(1.0)
    assert not torch.allclose(forward(heads, known)["pair_binary"], before["pair_binary"])
    given = request()
    before = forward(heads, given)["pair_binary"]
    heads.no_query.add_(1.0)
    torch.testing.assert_close(forward(heads, given)["pair_binary"], before)


# the scale of the context


@torch.no_grad()
def test_a_column_of_the_context_is_told_in_spreads_from_its_mean_in_training():
    """Whatever the unit of a column, what is learned is the same."""
    seen, known = torch.randn(200, F), request()
    unit, shift = torch.tensor([1.0, 10.0, 1e-3, 1e4, 2.0]), torch.tensor([0.0, 50.0, -1.0, 3e4, 1.0])
    plain, other = made(), made()
    plain.standardise(seen)
    other.standardise(unit * seen + shift)
    moved_on = {**known, "context": unit * known["context"] + shift}
    for name, logits in forward(plain, known).items():
        torch.testing.assert_close(forward(other, moved_on)[name], logits, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_a_column_that_never_varied_in_training_counts_nothing():
    heads, known = made(), request()
    seen = torch.randn(200, F)
    seen[:, 2] = 0.7
    heads.standardise(seen)
    before = forward(heads, known)
    known["context"][:, 2] = 1e6
    for name, logits in forward(heads, known).items():
        torch.testing.assert_close(logits, before[name])
        assert logits.isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_outlier_ends_at_five_spreads(sign):
    heads, known = made(), request()
    seen = torch.cat([torch.ones(100, F), -torch.ones(100, F)])  # a mean of 0, a spread of 1
    heads.standardise(seen)
    known["context"][:, 1] = sign * OUTLIER
    at_the_end = forward(heads, known)
    known["context"][:, 1] = sign * 1e6
    for name, logits in forward(heads, known).items():
        torch.testing.assert_close(logits, at_the_end[name])
    known["context"][:, 1] = sign * 4.0
    assert not torch.allclose(forward(heads, known)["pair_binary"], at_the_end["pair_binary"])


def test_the_scale_travels_with_the_weights():
    heads, other = made(), made(drawn=False)
    other.load_state_dict(heads.state_dict())
    torch.testing.assert_close(other.mean, heads.mean)
    torch.testing.assert_close(other.spread, heads.spread)


# experts, gates, towers


@torch.no_grad()
def test_gates_are_told_as_they_mix():
    heads, known = made(sharing="ple", experts=2), request()
    found = heads.gates(known["user"], known["query"], known["items"][None], known["context"][None])
    assert set(found) == set(ALL)
    for (gate,) in found.values():
        assert gate.shape == (1, 6, 3)
        torch.testing.assert_close(gate.sum(dim=-1), torch.ones(1, 6))
    above = made(sharing="ple", experts=2, levels=3)
    found = above.gates(known["user"], known["query"], known["items"][None], known["context"][None])
    for gates in found.values():
        assert [gate.shape for gate in gates] == [(1, 6, 3)] * 3
        torch.testing.assert_close(torch.stack(gates).sum(dim=-1), torch.ones(3, 1, 6))
    single = made(sharing="alone")
    assert not single.gates(known["user"], known["query"], known["items"][None], known["context"][None])


@torch.no_grad()
def test_a_projection_measures_each_dimension_by_itself():
    heads, known = made(drawn=False, projections=True), request()
    before = forward(heads, known)
    heads.slope["pair_binary"][3] += 1.0
    heads.slope["pair_binary"][D + 5] += 1.0
    expected = known["user"][0, 3] * known["items"][:, 3] + known["query"][0, 5] * known["items"][:, 5]
    moved = forward(heads, known)["pair_binary"] - before["pair_binary"]
    torch.testing.assert_close(moved[:, 0], expected, rtol=1e-4, atol=1e-5)
    plain = forward(made(drawn=False), known)
    for name in ALL:
        torch.testing.assert_close(before[name], plain[name])


@torch.no_grad()
def test_columns_learned_of_items_are_read_by_the_users_dot_product_alone():
    heads = made(factors=2)
    known = request(width=heads.width)
    bare = {name: value[:, :D] if name != "context" else value for name, value in known.items()}
    texts, dots = forward(made(), bare), (known["items"] * known["user"])[:, D:].sum(dim=1, keepdim=True)
    for task in TASKS:
        seen = task.type != "multiclass" and task.inputs != "query_item"
        expected = texts[task.name] + (dots if seen else 0.0)
        torch.testing.assert_close(forward(heads, known)[task.name], expected, rtol=1e-5, atol=1e-5)


def test_a_shared_bottom_is_one_expert_without_gates():
    heads = made(sharing="shared_bottom")
    assert (heads.mix.experts, heads.mix.width) == (1, 8)
    assert made().mix.width == 3 * (8 + len(TASKS))


@torch.no_grad()
def test_training_begins_at_the_dot_products_and_the_context():
    """Candidates that share a context differ by their dot products alone."""
    heads, known = made(drawn=False), request()
    known["context"] = known["context"][:1].expand(6, F)
    user, query = known["items"] @ known["user"].T, known["items"] @ known["query"].T
    seen = {"pair": (1.0, 1.0), "user_item": (1.0, 0.0), "query_item": (0.0, 1.0)}
    for task in TASKS:
        logits = forward(heads, known)[task.name]
        if task.type == "multiclass":
            assert task.name not in heads.slope
        else:
            a, b = heads.slope[task.name] * torch.tensor(seen[task.inputs])
            logits = logits - a * user - b * query
            assert (heads.slope[task.name] > 0).all()
        torch.testing.assert_close(logits, logits[:1].expand_as(logits))
        if task.inputs != "pair":
            torch.testing.assert_close(logits, torch.zeros_like(logits))


def test_a_task_alone_moves_no_other_tasks_tower():
    heads = made()
    forward(heads, request())["pair_binary"].sum().backward()
    touched = {name for name, tower in heads.mix.towers.items() if tower[-1].weight.grad is not None}
    assert touched == {"pair_binary"}


def test_text_heads_answer_by_task():
    tasks = [
        Task(name="kind", type="multiclass", inputs="item", classes=CLASSES),
        Task(name="mood", type="binary", inputs="text"),
    ]
    heads = TextHeads(tasks, 6)
    assert heads("kind", torch.randn(4, 6)).shape == (4, 3)
    assert heads("mood", torch.randn(4, 6)).shape == (4, 1)


@torch.no_grad()
def test_a_task_that_is_given_another_says_the_product_of_both_chances():
    tasks = [Task(name=name, type="binary") for name in ("buy", "click")]
    heads, plain, known = made(tasks, given={"buy": "click"}), made(tasks), request()
    found, factors = forward(heads, known), forward(plain, known)
    torch.testing.assert_close(found["click"], factors["click"])
    expected = torch.sigmoid(factors["buy"]) * torch.sigmoid(factors["click"])
    torch.testing.assert_close(torch.sigmoid(found["buy"]), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(heads.folded(**known)["buy"], found["buy"], rtol=1e-4, atol=1e-4)


def test_the_gradient_of_a_product_is_the_papers():
    """ESMM: d(-log-likelihood)/d(logit of the second) = (p - y) / (1 - p) * (1 - chance of the second)."""
    logit, given = torch.tensor([0.3, -1.0, 2.0], requires_grad=True), torch.tensor([-0.5, 1.0, 0.2])
    labels = torch.tensor([1.0, 0.0, 0.0])
    torch.nn.functional.binary_cross_entropy_with_logits(
        product(logit, given), labels, reduction="sum"
    ).backward()
    own = torch.sigmoid(logit.detach())
    p = own * torch.sigmoid(given)
    torch.testing.assert_close(logit.grad, (p - labels) / (1 - p) * (1 - own))


def test_a_product_of_certainties_is_a_number():
    ends = torch.tensor([-200.0, 0.0, 200.0], requires_grad=True)
    found = product(ends.unsqueeze(1), ends)
    assert found.isfinite().all()
    found.sum().backward()
    assert ends.grad.isfinite().all()


def test_texts_and_roles_are_forgotten_in_training_and_biases_never():
    k, told = 2, request(rows=4, width=D + 3 * 2 + 2)
    heads = made(factors=k, vector_dropout=0.9).train()
    items = told["items"][None].expand(50, -1, -1)
    seen = heads._forgotten(items)
    same = seen == items
    assert same[..., [D, D + 1 + k]].all()
    others = torch.cat([same[..., :D], same[..., D + 1 : D + 1 + k]], dim=-1)
    assert not others.any()  # nought, or as much more as there are others
    assert (seen[..., :D] == 0).float().mean() == pytest.approx(0.9, abs=0.05)
    assert torch.equal(heads.eval()._forgotten(items), items)
