import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax
from sklearn.linear_model import LogisticRegression

from training import calibration


def clicks(scale, shift, rows=20_000, seed=0):
    """Logits, and labels that are true with the probability sigmoid(scale · logit + shift)."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=rows)
    return logits, (random.random(rows) < expit(scale * logits + shift)).astype(np.float64)


def classes(temperature, rows=5_000, seed=0):
    """Logits (rows, 6), and labels drawn from softmax(logits / temperature)."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(rows, 6)) * 3.0
    # The largest of logits plus Gumbel noise is a draw from their softmax.
    return logits, np.argmax(logits / temperature + random.gumbel(size=logits.shape), axis=1)


def log_loss(labels, probabilities):
    return -np.mean(np.log(np.where(labels > 0, probabilities, 1 - probabilities)))


# binary


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.3, -2.0), (4.0, 1.5)])
def test_the_line_that_made_the_labels_is_found_again(scale, shift):
    found = calibration.temperature(*clicks(scale, shift))
    assert found == pytest.approx((scale, shift), abs=0.15)


def test_the_fit_is_that_of_an_unregularised_logistic_regression():
    logits, labels = clicks(0.7, -1.0)
    model = LogisticRegression(C=1e9, tol=1e-10).fit(logits[:, None], labels)
    expected = (model.coef_.item(), model.intercept_.item())
    assert calibration.temperature(logits, labels) == pytest.approx(expected, abs=2e-3)  # Platt's targets


def test_after_calibration_the_mean_probability_is_the_rate():
    logits, labels = clicks(2.0, -3.0)
    scale, shift = calibration.temperature(logits, labels)
    assert expit(scale * logits + shift).mean() == pytest.approx(labels.mean(), abs=1e-4)


@settings(deadline=None)
@given(st.floats(0.01, 100), st.floats(-50, 50), st.integers(0, 5))
def test_the_unit_of_the_logits_does_not_matter(unit, origin, seed):
    logits, labels = clicks(1.0, -1.0, rows=300, seed=seed)
    scale, shift = calibration.temperature(logits, labels)
    moved = logits * unit + origin
    moved_scale, moved_shift = calibration.temperature(moved, labels)
    assert moved_scale * moved + moved_shift == pytest.approx(scale * logits + shift, abs=1e-3)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0), st.floats(0.1, 1000))
def test_calibration_never_changes_the_order(seed, noise, unit):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, 200)
    logits = unit * ((1 - noise) * random.choice([-1, 1]) * labels + noise * random.normal(size=200))
    scale, shift = calibration.temperature(logits, labels)
    assert scale > 0.0
    assert np.isfinite([scale, shift]).all()


def test_a_head_that_is_the_wrong_way_round_keeps_its_order_and_gets_the_rate():
    logits, labels = clicks(-2.0, 0.0)
    scale, shift = calibration.temperature(logits, labels)
    assert 0.0 < scale < 0.01
    assert expit(scale * logits + shift) == pytest.approx(np.full(len(labels), labels.mean()), abs=0.01)


def test_classes_that_do_not_overlap_keep_the_scale_finite():
    scale, _ = calibration.temperature(np.linspace(-1, 1, 100), np.repeat([0, 1], 50))
    assert 1.0 < scale < 1e4


def test_a_constant_logit_is_moved_to_the_rate():
    labels = np.repeat([0, 1], [750, 250])
    scale, shift = calibration.temperature(np.full(1000, 0.1), labels)
    assert scale == 1.0
    assert expit(0.1 + shift) == pytest.approx(0.25, abs=2e-3)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.arange(49.0), np.arange(49) % 2),
        (np.arange(100.0), np.zeros(100)),
        (np.arange(100.0), np.ones(100)),
        (np.r_[np.nan, np.arange(99.0)], np.arange(100) % 2),
        ([], []),
    ],
    ids=["few rows", "all negative", "all positive", "a logit is NaN", "no rows"],
)
def test_a_binary_head_that_cannot_be_fitted_is_left_as_it_is(logits, labels):
    assert calibration.temperature(logits, labels) == (1.0, 0.0)


# multiclass


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found_again(temperature):
    assert calibration.temperature_multiclass(*classes(temperature)) == pytest.approx(temperature, rel=0.06)


def test_no_other_temperature_on_a_grid_has_a_lower_loss():
    logits, labels = classes(2.0, rows=400)

    def loss(temperature):
        return -log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].mean()

    best = loss(calibration.temperature_multiclass(logits, labels))
    assert all(best <= loss(temperature) + 1e-9 for temperature in np.geomspace(0.05, 20.0, 200))


@settings(deadline=None)
@given(st.integers(0, 50), st.floats(-1e3, 1e3))
def test_a_number_added_to_the_logits_of_a_row_does_not_matter(seed, number):
    logits, labels = classes(1.5, rows=100, seed=seed)
    expected = calibration.temperature_multiclass(logits, labels)
    moved = logits + number * np.arange(100)[:, None]
    assert calibration.temperature_multiclass(moved, labels) == pytest.approx(expected, rel=1e-4)


def test_two_classes_with_one_temperature_are_a_scale_without_a_shift():
    logits, labels = clicks(0.5, 0.0)
    pair = np.column_stack([np.zeros_like(logits), logits])
    scale, _ = calibration.temperature(logits, labels)
    assert 1 / calibration.temperature_multiclass(pair, labels) == pytest.approx(scale, abs=1e-2)


def test_a_head_that_is_always_right_stops_at_the_coldest_temperature():
    labels = np.arange(90) % 3
    found = calibration.temperature_multiclass(np.eye(3)[labels], labels)
    assert found == pytest.approx(calibration.TEMPERATURES[0], rel=1e-3)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.eye(3)[np.arange(48) % 3], np.arange(48) % 3),
        (np.eye(3)[np.zeros(60, dtype=int)], np.zeros(60, dtype=int)),
        (np.ones((60, 3)), np.arange(60) % 3),
        (np.full((60, 3), np.inf), np.arange(60) % 3),
        (np.zeros((0, 3)), []),
    ],
    ids=["few rows", "one class", "equal logits", "infinite logits", "no rows"],
)
def test_a_multiclass_head_that_cannot_be_fitted_is_left_as_it_is(logits, labels):
    assert calibration.temperature_multiclass(logits, labels) == 1.0


def test_a_binary_fit_lowers_the_log_loss_of_later_rows():
    logits, labels = clicks(0.4, -1.0)
    later, later_labels = clicks(0.4, -1.0, seed=1)
    scale, shift = calibration.temperature(logits, labels)
    fitted, raw = expit(scale * later + shift), expit(later)
    assert log_loss(later_labels, fitted) < log_loss(later_labels, raw)


# quantiles


SHARES = (0.1, 0.5, 0.9)


def covered(levels, targets):
    return (targets[:, None] <= levels).mean(axis=0)


@pytest.mark.parametrize("wrong", [0.0, 3.0, -0.4])
def test_shifted_quantiles_have_as_many_targets_below_as_they_say(wrong):
    random = np.random.default_rng(0)
    centre, targets = random.normal(size=(2, 2_000))
    levels = centre[:, None] + np.array([-1.0, 0.0, 1.0]) + wrong
    shifted = levels + calibration.conformal(levels, centre + 2.0 * targets, SHARES)
    np.testing.assert_allclose(covered(shifted, centre + 2.0 * targets), SHARES, atol=1e-3)


def test_a_new_row_is_below_a_shifted_quantile_with_the_chance_that_it_says_however_few_were_seen():
    random = np.random.default_rng(0)
    seen = np.array([covered(calibration.conformal(np.zeros((19, 3)), random.normal(size=19), SHARES),
                             random.normal(size=50)) for _ in range(4_000)])  # fmt: skip
    np.testing.assert_allclose(seen.mean(axis=0), SHARES, atol=0.01)


def test_quantiles_that_are_right_are_left_alone():
    targets = np.arange(1.0, 100.0)
    shifts = calibration.conformal(np.tile([10.0, 50.0, 90.0], (99, 1)), targets, SHARES)
    np.testing.assert_allclose(shifts, 0, atol=1e-9)
