import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import norm, spearmanr

from training import metrics

SHARES = (0.1, 0.5, 0.9)

# Tenths, so that ties are common and a probability of exactly 0.5 is met.
TENTHS = st.integers(0, 10).map(lambda tenths: tenths / 10)


@st.composite
def binaries(draw):
    rows = draw(st.integers(1, 40))
    labels = draw(hnp.arrays(np.int64, rows, elements=st.integers(0, 1)))
    return labels, draw(hnp.arrays(np.float64, rows, elements=TENTHS))


@st.composite
def multilabels(draw):
    shape = draw(st.tuples(st.integers(1, 15), st.integers(1, 5)))
    labels = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 1)))
    return labels, draw(hnp.arrays(np.float64, shape, elements=TENTHS))


def pairs_in_order(labels, scores):
    """AUC by its definition: every positive against every negative."""
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels == 1] for n in scores[labels == 0]]
    return float(np.mean(pairs)) if pairs else np.nan


def f1(labels, taken):
    right, wrong = np.sum(labels & taken), np.sum(labels ^ taken)
    return 2 * right / (2 * right + wrong) if right or wrong else np.nan


def mean_of_defined(values):
    defined = [value for value in values if not np.isnan(value)]
    return np.mean(defined) if defined else np.nan


# binary


def test_a_binary_example_worked_by_hand():
    # Pairs: 0.8 beats 0.6 and 0.1, 0.4 beats 0.1 and loses to 0.6: 3 of 4.
    # Squares: 0.2², 0.6², 0.6², 0.1² = 0.04 + 0.36 + 0.36 + 0.01 = 0.77, over 4.
    # Fewer rows than bins: each row is a bin, so the error is the mean of 0.2, 0.6, 0.6, 0.1.
    found = metrics.binary([1, 0, 1, 0], [0.8, 0.6, 0.4, 0.1])

    assert found["auc"] == 0.75
    assert found["brier"] == pytest.approx(0.77 / 4)
    assert found["ece"] == pytest.approx(1.5 / 4)
    assert found["log_loss"] == pytest.approx(-np.log([0.8, 0.4, 0.4, 0.9]).mean())
    assert (found["rate"], found["predicted_rate"]) == (0.5, pytest.approx(0.475))


@settings(deadline=None)
@given(binaries())
def test_the_auc_is_the_share_of_pairs_in_order_with_ties_counted_half(rows):
    assert metrics.binary(*rows)["auc"] == pytest.approx(pairs_in_order(*rows), nan_ok=True)


@settings(deadline=None)
@given(binaries(), st.randoms())
def test_the_order_of_the_rows_changes_no_binary_metric(rows, random):
    labels, probabilities = rows
    order = random.sample(range(len(labels)), len(labels))

    expected = metrics.binary(labels, probabilities)
    assert metrics.binary(labels[order], probabilities[order]) == pytest.approx(expected, nan_ok=True)


@settings(deadline=None)
@given(binaries())
def test_a_rising_transform_of_the_scores_leaves_the_auc(rows):
    labels, probabilities = rows
    expected = metrics.binary(labels, probabilities)["auc"]
    assert metrics.binary(labels, probabilities**3)["auc"] == pytest.approx(expected, nan_ok=True)


def test_a_constant_probability_has_the_auc_of_chance_and_the_error_of_its_mean():
    labels = np.repeat([1, 0], [30, 70])
    found = metrics.binary(labels, np.full(100, 0.5))
    assert found["auc"] == 0.5
    assert found["ece"] == pytest.approx(0.2)


def test_one_class_leaves_only_the_auc_undefined():
    found = metrics.binary(np.zeros(3), [0.1, 0.2, 0.3])
    assert np.isnan(found.pop("auc"))
    assert np.isfinite(list(found.values())).all()


# calibration error


def test_calibration_bins_hold_equal_numbers_of_rows():
    # 30 distinct probabilities make 15 bins of 2. Labels 1 0 1 0 ... give each bin the rate 0.5.
    probabilities = np.arange(30) / 30
    means = probabilities.reshape(15, 2).mean(axis=1)
    expected = np.abs(means - 0.5).mean()
    assert metrics.calibration_error(np.arange(30) % 2, probabilities) == pytest.approx(expected)


def test_probabilities_that_are_true_have_almost_no_calibration_error():
    random = np.random.default_rng(0)
    probabilities = random.random(200_000) ** 4  # most are small, as clicks are
    labels = random.random(200_000) < probabilities
    assert metrics.calibration_error(labels, probabilities) < 0.005
    assert metrics.calibration_error(labels, probabilities / 2) > 0.05


@settings(deadline=None)
@given(binaries())
def test_the_calibration_error_lies_between_the_bias_and_one(rows):
    labels, probabilities = rows
    bias = abs(labels.mean() - probabilities.mean())
    assert bias - 1e-12 <= metrics.calibration_error(labels, probabilities) <= 1.0


# multiclass


def test_a_multiclass_example_worked_by_hand():
    # Taken: 0, 1, 1, 2. Right: all but the third, whose class is 0.
    # F1: class 0 has 1 right, 1 missed: 2/3. Class 1 has 1 right, 1 too many: 2/3. Class 2: 1.
    # Each row is a bin: |1 - 0.6|, |1 - 0.8|, |0 - 0.5|, |1 - 1|, a mean of 1.1 / 4.
    found = metrics.multiclass(
        [0, 1, 0, 2], [[0.6, 0.4, 0.0], [0.1, 0.8, 0.1], [0.3, 0.5, 0.2], [0.0, 0.0, 1.0]]
    )

    assert found["accuracy"] == found["micro_f1"] == 0.75
    assert found["macro_f1"] == pytest.approx(7 / 9)
    assert found["log_loss"] == pytest.approx(-np.log([0.6, 0.8, 0.3, 1.0]).mean())
    assert found["ece"] == pytest.approx(1.1 / 4)


def test_a_float32_softmax_is_taken_as_it_comes():
    logits = np.random.default_rng(0).normal(size=(500, 40)).astype(np.float32) * 8
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    labels = np.arange(500) % 40
    found = metrics.multiclass(labels, powers / powers.sum(axis=1, keepdims=True))
    assert np.isfinite(list(found.values())).all()


def test_a_class_that_no_row_has_or_takes_does_not_count_in_macro_f1():
    assert metrics.multiclass([0, 1], [[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]])["macro_f1"] == 1.0


def test_a_single_class_leaves_only_the_log_loss_undefined():
    found = metrics.multiclass([0, 0], [[1.0], [1.0]])
    assert np.isnan(found.pop("log_loss"))
    assert found == {"accuracy": 1.0, "macro_f1": 1.0, "micro_f1": 1.0, "ece": 0.0}


# multilabel


def test_a_multilabel_example_worked_by_hand():
    # Label 0: taken yes, no; right. Label 1: taken yes, yes; had no, yes: F1 = 2/3. Label 2: never had or taken.
    # All cells: 2 right, 1 too many: 4/5. Rows: the first is wrong in label 1.
    # AUC of label 0: 0.9 > 0.2. Of label 1: 0.5 < 0.6. Label 2 has one class.
    # Cells: 0.9 and 0.6 against 0.2, 0.5, 0.1, 0.4: all in order.
    found = metrics.multilabel([[1, 0, 0], [0, 1, 0]], [[0.9, 0.5, 0.1], [0.2, 0.6, 0.4]])

    assert found["macro_f1"] == pytest.approx(5 / 6)
    assert found["micro_f1"] == pytest.approx(4 / 5)
    assert found["accuracy"] == 0.5
    assert found["macro_auc"] == found["micro_auc"] == 1.0
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.5, 0.9, 0.8, 0.6, 0.6]).mean())


@settings(deadline=None)
@given(multilabels())
def test_multilabel_metrics_are_means_over_the_labels_that_define_them(rows):
    labels, probabilities = rows
    taken = (probabilities >= 0.5).astype(np.int64)
    columns = range(labels.shape[1])
    expected = {
        "macro_f1": mean_of_defined([f1(labels[:, c], taken[:, c]) for c in columns]),
        "micro_f1": f1(labels.ravel(), taken.ravel()),
        "macro_auc": mean_of_defined([pairs_in_order(labels[:, c], probabilities[:, c]) for c in columns]),
        "micro_auc": pairs_in_order(labels.ravel(), probabilities.ravel()),
        "accuracy": np.mean([np.array_equal(a, b) for a, b in zip(labels, taken, strict=True)]),
    }

    found = metrics.multilabel(labels, probabilities)
    found.pop("log_loss")
    assert found == pytest.approx(expected, nan_ok=True)


# regression


def test_a_regression_example_worked_by_hand():
    # Errors 0, 0, 3. Squares: 9 of a total variation of (1 + 0 + 1): r² = 1 - 9/2. The order is right.
    found = metrics.regression([1.0, 2.0, 3.0], [1.0, 2.0, 6.0])
    assert found == pytest.approx({"rmse": np.sqrt(3), "mae": 1.0, "spearman": 1.0, "r2": -3.5})


@settings(deadline=None)
@given(hnp.arrays(np.float64, (2, 20), elements=st.integers(0, 5).map(float)))
def test_the_rank_correlation_of_varied_values_is_scipys(rows):
    labels, values = rows
    if np.ptp(labels) == 0 or np.ptp(values) == 0:
        assert np.isnan(metrics.regression(labels, values)["spearman"])
    else:
        expected = spearmanr(labels, values).statistic
        assert metrics.regression(labels, values)["spearman"] == pytest.approx(expected)
        assert metrics.regression(labels, np.exp(values))["spearman"] == pytest.approx(expected)


def test_constant_values_leave_only_the_correlation_undefined():
    found = metrics.regression([1.0, 3.0], [2.0, 2.0])
    assert np.isnan(found.pop("spearman"))
    assert found == {"rmse": 1.0, "mae": 1.0, "r2": 0.0}


def test_constant_labels_leave_correlation_and_r2_undefined():
    found = metrics.regression([2.0, 2.0], [1.0, 3.0])
    assert np.isnan([found.pop("spearman"), found.pop("r2")]).all()
    assert found == {"rmse": 1.0, "mae": 1.0}


# all of them


@pytest.mark.parametrize(
    ("metric", "labels", "predictions", "names"),
    [
        (metrics.binary, [], [], metrics.BINARY),
        (metrics.multiclass, [], np.zeros((0, 3)), metrics.MULTICLASS),
        (metrics.multilabel, np.zeros((0, 3)), np.zeros((0, 3)), metrics.MULTILABEL),
        (metrics.regression, [], [], metrics.REGRESSION),
        (metrics.binary, [0, 1], [0.5, np.nan], metrics.BINARY),
        (metrics.multiclass, [0, 1], [[0.5, 0.5], [np.nan, 0.5]], metrics.MULTICLASS),
        (metrics.multilabel, [[0], [1]], [[0.5], [np.nan]], metrics.MULTILABEL),
        (metrics.regression, [0, 1], [0.5, np.inf], metrics.REGRESSION),
    ],
)
def test_no_rows_or_a_diverged_head_make_every_metric_nan(metric, labels, predictions, names):
    found = metric(labels, predictions)
    assert tuple(found) == names
    assert np.isnan(list(found.values())).all()


@settings(deadline=None)
@given(binaries())
def test_every_metric_has_the_name_that_the_type_declares(rows):
    labels, probabilities = rows
    assert tuple(metrics.binary(labels, probabilities)) == metrics.BINARY
    both = np.column_stack([1 - probabilities, probabilities])
    assert tuple(metrics.multiclass(labels, both)) == metrics.MULTICLASS
    assert tuple(metrics.multilabel(labels[:, None], probabilities[:, None])) == metrics.MULTILABEL
    assert tuple(metrics.regression(labels, probabilities)) == metrics.REGRESSION


def test_rows_without_degenerate_columns_agree_with_scikit_learn():
    random = np.random.default_rng(1)
    labels, probabilities = random.integers(0, 2, (300, 4)), random.random((300, 4))
    found = metrics.multilabel(labels, probabilities)
    assert found["macro_auc"] == pytest.approx(sk.roc_auc_score(labels, probabilities, average="macro"))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(labels, probabilities >= 0.5, average="macro"))
    assert found["micro_f1"] == pytest.approx(sk.f1_score(labels, probabilities >= 0.5, average="micro"))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, probabilities >= 0.5))


# quantile


def test_quantiles_worked_by_hand():
    # Errors 1, 9 at the quantile 0.1: 0.1 · 1 and 0.1 · 9. At 0.5: 0.5 · 2 below and 0.5 · 6 above.
    # At 0.9: 0.1 · 17 and 0.1 · 9 above. At or below lie 0 of 2, 1 of 2, 2 of 2.
    found = metrics.quantile([3, 11], [[2, 5, 20], [2, 5, 20]], SHARES)

    assert found["pinball"] == pytest.approx((0.1 + 0.9 + 1 + 3 + 1.7 + 0.9) / 6)
    assert [found[f"coverage@{share}"] for share in SHARES] == [0, 0.5, 1]
    assert found["coverage_error"] == pytest.approx((0.1 + 0 + 0.1) / 3)


def test_a_label_that_is_its_quantile_as_float32_is_covered_by_it():
    third = np.float32(1 / 3)
    assert float(third) != 1 / 3
    assert metrics.quantile([1 / 3], [[third]], (0.5,))["coverage@0.5"] == 1
    assert metrics.quantile([float(third)], [[1 / 3]], (0.5,))["coverage@0.5"] == 1


@given(hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e3, 1e3)), st.floats(-5, 5))
def test_no_other_constants_have_a_smaller_pinball_loss_than_the_quantiles(labels, away):
    best = np.quantile(labels, SHARES, method="inverted_cdf")
    least, other = (
        metrics.quantile(labels, np.tile(levels, (len(labels), 1)), SHARES)["pinball"]
        for levels in (best, best + away)
    )
    assert least <= other + 1e-9


def test_quantiles_of_the_distribution_of_the_labels_are_covered_as_they_say():
    labels = np.random.default_rng(0).normal(size=20_000)
    found = metrics.quantile(labels, np.tile(norm.ppf(SHARES), (len(labels), 1)), SHARES)
    assert found["coverage_error"] < 0.01
    assert [found[f"coverage@{share}"] for share in SHARES] == pytest.approx(SHARES, abs=0.01)


@pytest.mark.parametrize(("labels", "values"), [([], np.zeros((0, 3))), ([1.0], [[1.0, np.nan, 2.0]])])
def test_quantiles_of_no_rows_and_of_a_diverged_head_are_undefined(labels, values):
    found = metrics.quantile(labels, values, SHARES)
    assert list(found) == ["pinball", "coverage_error", *(f"coverage@{share}" for share in SHARES)]
    assert np.isnan(list(found.values())).all()


def test_reliability_has_what_was_told_and_what_came_true_in_the_bins_of_the_calibration_error():
    random = np.random.default_rng(0)
    told = random.random(1000)
    labels = (random.random(1000) < told**2).astype(float)
    found = metrics.reliability(labels, told)
    assert sum(found["rows"]) == 1000
    away = np.abs(np.array(found["seen"]) - np.array(found["said"])) * found["rows"]
    assert away.sum() / 1000 == pytest.approx(metrics.calibration_error(labels, told))
    assert metrics.reliability([], []) == {"said": [], "seen": [], "rows": []}
