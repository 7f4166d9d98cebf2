from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from training import ranking


def evaluate(labels, scores, groups):
    return ranking.evaluate(labels, scores, groups=groups)


def aucs(labels, scores, groups):
    return ranking.per_impression(labels, scores, groups=groups)["auc"]


@st.composite
def impressions(draw, most=25, places=4):
    """Rows of a few impressions, mixed, with few distinct scores, so that ties are common."""
    rows = draw(st.integers(0, most))
    groups = draw(hnp.arrays(np.int64, rows, elements=st.integers(-1, 3)))
    labels = draw(hnp.arrays(np.int64, rows, elements=st.integers(0, 1)))
    return labels, draw(hnp.arrays(np.float64, rows, elements=st.integers(0, places).map(float))), groups


def by_the_script(labels, order):
    """The evaluation script of MIND for one impression whose rows are ranked in `order`, best first."""

    def dcg(ranked, k):
        return sum((2**label - 1) / np.log2(place + 1) for place, label in enumerate(ranked[:k], 1))

    ranked = [int(labels[row]) for row in order]
    best = sorted(ranked, reverse=True)
    return {
        "auc": roc_auc_score(ranked, np.arange(len(ranked), 0, -1)),
        "mrr": sum(label / place for place, label in enumerate(ranked, 1)) / sum(ranked),
        "ndcg@5": dcg(ranked, 5) / dcg(best, 5),
        "ndcg@10": dcg(ranked, 10) / dcg(best, 10),
    }


def mean(found):
    return {name: np.mean([one[name] for one in found]) for name in ranking.METRICS}


def over_all_orders(labels, scores):
    """The script's mean over every order in which the scores do not rise."""
    orders = [o for o in permutations(range(len(labels))) if all(np.diff(scores[list(o)]) <= 0)]
    return mean([by_the_script(labels, order) for order in orders])


# within impressions


def test_an_impression_worked_by_hand():
    # Places 1 to 4: 0.9 (no), 0.8 (yes), 0.5 (no), 0.1 (yes).
    # Pairs: 0.8 beats 0.5 only, 0.1 beats none: 1 of 4. MRR over both positives: (1/2 + 1/4) / 2.
    # DCG: 1/log2(3) + 1/log2(5); at best 1/log2(2) + 1/log2(3).
    found = evaluate([1, 0, 1, 0], [0.1, 0.9, 0.8, 0.5], [7, 7, 7, 7])

    gain = (1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3))
    assert found == pytest.approx(
        {"auc": 0.25, "mrr": 0.375, "ndcg@5": gain, "ndcg@10": gain, "impressions": 1}
    )


def test_a_tie_worked_by_hand():
    # The positive shares places 1 and 2 with one negative, before another negative.
    # Pairs: half and one, of 2. MRR: (1 + 1/2) / 2. nDCG: (1 + 1/log2(3)) / 2.
    found = evaluate([0, 1, 0], [0.5, 0.5, 0.2], [0, 0, 0])
    gain = (1 + 1 / np.log2(3)) / 2
    assert found == pytest.approx(
        {"auc": 0.75, "mrr": 0.75, "ndcg@5": gain, "ndcg@10": gain, "impressions": 1}
    )


def test_a_positive_behind_the_cut_earns_nothing():
    found = evaluate([0, 0, 0, 0, 0, 1, 0], [7, 6, 5, 4, 3, 2, 1], np.zeros(7))
    assert found["ndcg@5"] == 0.0
    assert found["ndcg@10"] == pytest.approx(1 / np.log2(7))


def test_impressions_weigh_the_same_however_long_they_are():
    found = evaluate([1, 0, 1, 0, 0, 0, 0], [2, 1, 1, 2, 3, 4, 5], [0, 0, 1, 1, 1, 1, 1])
    assert found["auc"] == 0.5  # the mean of 1 and 0
    assert found["mrr"] == pytest.approx((1 + 1 / 5) / 2)


@settings(deadline=None)
@given(
    st.integers(2, 5).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 2), min_size=n, max_size=n)] * 2))
)
def test_a_tie_counts_as_the_mean_over_all_its_orders(rows):
    labels, scores = np.minimum(rows[0], 1), np.array(rows[1], dtype=np.float64)
    found = evaluate(labels, scores, np.zeros(len(labels)))
    if 0 < labels.sum() < len(labels):
        assert found == pytest.approx(over_all_orders(labels, scores) | {"impressions": 1})
    else:
        assert found["impressions"] == 0


@settings(deadline=None)
@given(impressions(most=60), st.randoms(use_true_random=False))
def test_without_ties_the_metrics_are_those_of_the_script(rows, random):
    labels, _, groups = rows
    scores = np.array(random.sample(range(len(labels)), len(labels)), dtype=np.float64)
    expected = []
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        if 0 < labels[own].sum() < len(own):
            expected.append(by_the_script(labels, own[np.argsort(-scores[own])]))

    found = evaluate(labels, scores, groups)
    assert found.pop("impressions") == len(expected)
    if expected:
        assert found == pytest.approx(mean(expected))


@settings(deadline=None)
@given(impressions())
def test_the_auc_of_an_impression_is_scikit_learns(rows):
    labels, scores, groups = rows
    counted = [g for g in np.unique(groups) if 0 < labels[groups == g].sum() < (groups == g).sum()]
    expected = [roc_auc_score(labels[groups == g], scores[groups == g]) for g in counted]
    assert aucs(labels, scores, groups) == pytest.approx(np.array(expected))


@settings(deadline=None)
@given(impressions(), st.randoms())
def test_the_order_of_the_rows_changes_nothing(rows, random):
    order = random.sample(range(len(rows[0])), len(rows[0]))
    expected = evaluate(*rows)
    assert evaluate(*(column[order] for column in rows)) == pytest.approx(expected, nan_ok=True)


@settings(deadline=None)
@given(impressions())
def test_a_rising_transform_of_each_impressions_scores_changes_nothing(rows):
    labels, scores, groups = rows
    expected = evaluate(labels, scores, groups)
    found = evaluate(labels, np.exp(scores) * (groups + 2) - groups, groups)
    assert found == pytest.approx(expected, nan_ok=True)


@settings(deadline=None)
@given(impressions())
def test_the_numbers_of_the_impressions_do_not_matter(rows):
    labels, scores, groups = rows
    expected = evaluate(labels, scores, groups)
    assert evaluate(labels, scores, 1000 - 7 * groups) == pytest.approx(expected, nan_ok=True)


@settings(deadline=None)
@given(impressions())
def test_the_reverse_of_the_scores_has_the_reverse_auc(rows):
    labels, scores, groups = rows
    forth = aucs(labels, scores, groups)
    assert aucs(labels, -scores, groups) == pytest.approx(1 - forth)


@settings(deadline=None)
@given(impressions())
def test_every_metric_lies_between_nothing_and_perfect(rows):
    labels, scores, groups = rows
    perfect = ranking.per_impression(labels, labels, groups=groups)
    for name, values in ranking.per_impression(labels, scores, groups=groups).items():
        assert (values >= 0.0).all()
        assert (values <= perfect[name] + 1e-12).all()
        assert name == "mrr" or perfect[name] == pytest.approx(np.ones_like(values))


@settings(deadline=None)
@given(impressions(places=0))
def test_a_constant_score_has_an_auc_of_exactly_one_half(rows):
    found = evaluate(*rows)
    assert found["auc"] == 0.5 or found["impressions"] == 0


def test_a_constant_score_earns_what_a_random_ranking_does():
    random = np.random.default_rng(0)
    groups, labels = np.repeat(np.arange(20_000), 12), np.tile([1, 1] + [0] * 10, 20_000)
    constant = evaluate(labels, np.zeros(len(groups)), groups)
    shuffled = evaluate(labels, random.random(len(groups)), groups)
    assert constant == pytest.approx(shuffled, abs=0.005)


def test_impressions_of_one_class_do_not_count():
    found = evaluate([1, 1, 0, 0, 0, 1], [1, 2, 1, 2, 1, 2], [0, 0, 1, 1, 2, 2])
    assert found == {"auc": 1.0, "mrr": 1.0, "ndcg@5": 1.0, "ndcg@10": 1.0, "impressions": 1}


@pytest.mark.parametrize("rows", [([], [], []), ([1, 1], [0.1, 0.2], [0, 0]), ([0, 1], [0.1, 0.2], [0, 1])])
def test_where_no_impression_counts_every_metric_is_nan(rows):
    found = evaluate(*rows)
    assert found.pop("impressions") == 0
    assert np.isnan(list(found.values())).all()


def test_a_score_that_is_nan_shows_in_its_impression_and_in_the_mean():
    rows = [0, 1, 0, 1], [np.nan, 0.9, 0.1, 0.9], [0, 0, 1, 1]
    np.testing.assert_array_equal(aucs(*rows), [np.nan, 1.0])
    assert np.isnan(evaluate(*rows)["mrr"])


def test_infinite_scores_rank_as_scores():
    assert evaluate([1, 0, 0], [np.inf, 0.0, -np.inf], [0, 0, 0])["auc"] == 1.0


# over the whole catalogue


def test_recall_is_the_share_of_ranks_within_k():
    assert ranking.recall([1, 3, 10, 11], 10) == 0.75
    assert np.isnan(ranking.recall([], 10))


def test_recall_over_a_catalogue_worked_by_hand():
    # Scores 1, 2, 3, 4 for the first user, 4, 3, 2, 1 for the second.
    # The first wants item 2, the second best. The second wants items 0 and 3, the best and the last.
    items = np.array([[1, 4], [2, 3], [3, 2], [4, 1]], dtype=np.float32)
    found = ranking.recall_at(np.eye(2, dtype=np.float32), items, targets=[2, [0, 3]], cuts=(1, 2, 4))
    assert found == {"recall@1": 0.25, "recall@2": 0.75, "recall@4": 1.0}


@settings(deadline=None)
@given(st.data())
def test_recall_is_that_of_sorting_every_score(data):
    users, items = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 12))
    vectors = hnp.arrays(np.float64, (users + items, 2), elements=st.integers(-3, 3).map(float))
    drawn = data.draw(vectors)
    user_vectors, item_vectors = drawn[:users], drawn[users:]
    one = st.lists(st.integers(0, items - 1), max_size=4, unique=True)
    targets = data.draw(st.lists(one, min_size=users, max_size=users))

    def found_by(user, k):
        scores = user_vectors[user] @ item_vectors.T
        # The top k of the order in which a target comes last among its equals.
        return [target for target in targets[user] if np.sum(scores >= scores[target]) <= k]

    shares = {
        k: [len(found_by(user, k)) / len(targets[user]) for user in range(users) if targets[user]]
        for k in (1, 3, 10)
    }
    expected = {f"recall@{k}": np.mean(share) if share else np.nan for k, share in shares.items()}
    assert ranking.recall_at(user_vectors, item_vectors, targets=targets, cuts=(1, 3, 10)) == pytest.approx(
        expected, nan_ok=True
    )


def test_the_size_of_a_chunk_changes_nothing():
    random = np.random.default_rng(0)
    users, items = random.normal(size=(200, 4)), random.normal(size=(300, 4))
    targets = random.integers(0, 300, (200, 3))
    whole = ranking.recall_at(users, items, targets=targets)
    for chunk in (1, 1000, 300 * 7):
        assert ranking.recall_at(users, items, targets=targets, chunk=chunk) == pytest.approx(whole)


def test_users_who_look_for_themselves_find_themselves_first():
    vectors = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert ranking.recall_at(vectors, vectors, targets=np.arange(50), cuts=(1,)) == {"recall@1": 1.0}


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_vectors_that_say_nothing_find_nothing(value):
    found = ranking.recall_at(np.full((3, 2), value), np.ones((20, 2)), targets=[0, 1, 2], cuts=(10, 19))
    assert found == {"recall@10": 0.0, "recall@19": 0.0}


def test_recall_without_users_or_targets_is_nan():
    assert np.isnan(ranking.recall_at(np.zeros((0, 2)), np.ones((3, 2)), targets=[])["recall@10"])
    assert np.isnan(ranking.recall_at(np.ones((1, 2)), np.ones((3, 2)), targets=[[]])["recall@10"])


@pytest.mark.parametrize("target", [-1, 3])
def test_a_target_outside_the_catalogue_is_refused(target):
    with pytest.raises(ValueError, match="item_vectors has 3 rows; leave out"):
        ranking.recall_at(np.ones((1, 2)), np.ones((3, 2)), targets=[target])


def test_targets_for_another_number_of_users_are_refused():
    with pytest.raises(ValueError, match="2 entries for 1 user vectors"):
        ranking.recall_at(np.ones((1, 2)), np.ones((3, 2)), targets=[0, 1])
