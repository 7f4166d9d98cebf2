"""The weights by which the heads' values become one score, found on the validation part for a stated goal.

    weighted_sum, weighted_product   weights of the greatest goal, by going up one weight after the other
    stacking                         a logistic model of the labels on the values, or on their logarithms, whichever
                                     has the smaller loss, with slopes of 0 or more (Breiman 1996)

A logistic function keeps the order, so what is stacked is served as a weighted sum, or a weighted product. Values are
those that are served, calibrated and mapped to 0..1; the score is that of model_store/fusion.py, as in the service.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from model_store.fusion import FLOOR, Fusion, Method, Ranges
from model_store.manifest import FusionDefault
from training.dataset import Dataset
from training.goal import Goal
from training.predict import Predictions
from training.sections import FusionConfig
from training.worth import Interval

Floats = NDArray[np.float64]

EQUAL = "equal weights"
FORMS: tuple[Method, ...] = ("weighted_sum", "weighted_product")
FOLDS = 5
UNITS = 2_000  # at most, of each term of the goal, that the search looks at
FACTORS = (0.25, 0.5, 0.8, 1.25, 2.0, 4.0)  # by which a weight is changed
LEVELS = (0.0, 0.03, 0.1, 0.3, 1.0)  # what it is tried at, in shares of the greatest
SWEEPS = 20
GAIN = 1e-9  # of the goal, below which nothing is gained
RIDGE = 1e-4


@dataclass(frozen=True)
class Candidate:
    """A fusion, and what it reaches of the goal on the rows that it was found on."""

    fusion: Fusion
    value: float


def mapped(dataset: Dataset, predictions: Predictions) -> dict[str, Floats]:
    """The values (n,) in 0..1 of each task that can be weighed, as the service computes them."""
    times = dataset.requests.times[dataset.requests.owners[predictions.rows]]
    found = {}
    for task in dataset.tasks:
        if task.online and task.scalar:
            served = predictions.values[task.name].astype(np.float64)
            places = dataset.clock.bucket(times, task.clock) if task.clock else np.zeros(len(times), np.int64)
            values = served[np.arange(len(times)), places]
            if task.given:
                values = values * predictions.values[task.given][:, 0]
            found[task.name] = Ranges([task]).unit(values[None])[0]
    return found


def scores(fusion: Fusion, values: Mapping[str, Floats]) -> Floats:
    """One score (n,) from the mapped values."""
    return fusion.score(np.stack([values[name] for name in fusion.names]))


def find(config: FusionConfig, dataset: Dataset, predictions: Predictions) -> dict[str, Any]:
    """What fusion.json holds: the goal, all that was tried, and which is chosen.

    ConfigError if the goal is undefined on the validation part.
    """
    goal = Goal.of(config.goal, dataset, predictions, "validation", most=UNITS)
    goal.check("validation")
    values = mapped(dataset, predictions)
    found = Search(values, goal).all(config)
    unseen = crossed(config, values, goal)
    fusions = {
        name: {
            "method": each.fusion.method,
            "weights": dict(each.fusion.weights),
            "validation": each.value,
            "unseen": unseen[name],
        }
        for name, each in found.items()
    }
    chosen = config.method or _best(fusions)
    return {"goal": config.goal, "chosen": chosen, "fusions": fusions}


def crossed(config: FusionConfig, values: Mapping[str, Floats], goal: Goal) -> dict[str, float]:
    """What each way to find weights reaches on requests that it has not seen: the mean of FOLDS-fold validation.

    NaN where a fold is too small to define the goal.
    """
    told = []
    for rest, part in goal.folds(FOLDS):
        if not all(len(term.rows) for term in (*rest.terms, *part.terms)):
            return dict.fromkeys(Search(values, goal).all(config), np.nan)
        found = Search(values, rest).all(config)
        told.append({name: part.value(scores(each.fusion, values)) for name, each in found.items()})
    return {name: float(np.mean([fold[name] for fold in told])) for name in told[0]}


def _best(fusions: Mapping[str, Mapping[str, Any]]) -> str:
    """The best on unseen requests, of those that are not worse than equal weights on seen ones."""
    good = {
        name: each for name, each in fusions.items() if each["validation"] >= fusions[EQUAL]["validation"]
    }
    return max(good, key=lambda name: (np.nan_to_num(good[name]["unseen"]), good[name]["validation"]))


def form_of(method: str | None) -> Method:
    """The form of the score where a configuration names a method, or none."""
    return "weighted_product" if method == "weighted_product" else "weighted_sum"


def chosen(record: Mapping[str, Any]) -> FusionDefault:
    """The bundle's fusion from what fusion.json holds."""
    found = record["fusions"][record["chosen"]]
    return FusionDefault(method=found["method"], weights=found["weights"])


def tested(record: Mapping[str, Any], dataset: Dataset, predictions: Predictions) -> dict[str, Any]:
    """The same with the goal on the test part: of each fusion, and what the chosen one gains over equal weights.

    `gains`: of each term the mean over its units, and half of its 95 % interval (None for a single unit).
    """
    values = mapped(dataset, predictions)
    goal = Goal.of(record["goal"], dataset, predictions, "test")
    told = {name: scores(_fusion(each), values) for name, each in record["fusions"].items()}
    gains = {}
    for term in goal.terms:
        if len(term.rows):
            gained = (term.units(told[record["chosen"]]) - term.units(told[EQUAL])).tolist()
            gain = Interval.of(gained)
            gains[term.written] = {"mean": gain.mean, "half": gain.half, "units": len(gained)}
    fusions = {name: {**each, "test": goal.value(told[name])} for name, each in record["fusions"].items()}
    return {**record, "fusions": fusions, "gains": gains}


def _fusion(record: Mapping[str, Any]) -> Fusion:
    return Fusion(record["method"], record["weights"])


class Search:
    """Tries weights of m tasks on the mapped values of the validation part."""

    def __init__(self, values: Mapping[str, Floats], goal: Goal) -> None:
        self._values, self._goal = values, goal
        self._names = tuple(values)
        self._parts = {form: _parts(form, np.stack(list(values.values()))) for form in FORMS}
        self._spreads = {form: _spreads(parts) for form, parts in self._parts.items()}

    def all(self, config: FusionConfig) -> dict[str, Candidate]:
        """By name: what is found by each method, then what nobody has to look for."""
        learned = {method: self.learned(method, config) for method in (*FORMS, "stacking")}
        return {**learned, **dict(self.plain(config))}

    def plain(self, config: FusionConfig) -> Iterator[tuple[str, Candidate]]:
        """What nobody has to look for, by name."""
        yield EQUAL, self.judge("weighted_sum", dict.fromkeys(self._names, 1.0))
        if any(config.weights.values()):
            yield "as configured", self.judge(form_of(config.method), config.weights)
        for name in self._names:
            yield f"{name} alone", self.judge("weighted_sum", {name: 1.0})

    def judge(self, form: Method, weights: Mapping[str, float]) -> Candidate:
        """A fusion of these weights, the greatest made 1 and those of 0 left out; one must be above 0."""
        greatest = max(weights.values())
        kept = {name: float(f"{weight / greatest:.4g}") for name, weight in weights.items() if weight > 0.0}
        fusion = Fusion(form, kept)
        return Candidate(fusion, self._goal.value(scores(fusion, self._values)))

    def learned(self, method: str, config: FusionConfig) -> Candidate:
        """The best of a method, never worse than equal weights in its form."""
        if method == "stacking":
            stacked = self.stacked()
            return max(stacked, self._equal(stacked.fusion.method), key=lambda each: each.value)
        form = form_of(method)
        starts = [self._equal(form), *(self.judge(form, {name: 1.0}) for name in self._names)]
        starts.append(self._stacked(form)[0])
        if any(config.weights.values()):
            starts.append(self.judge(form, config.weights))
        return self._pruned(self._climbed(max(starts, key=lambda each: each.value)))

    def stacked(self) -> Candidate:
        """The logistic model of the smaller loss."""
        return min((self._stacked(form) for form in FORMS), key=lambda found: found[1])[0]

    def _equal(self, form: Method) -> Candidate:
        return self.judge(form, dict.fromkeys(self._names, 1.0))

    def _stacked(self, form: Method) -> tuple[Candidate, float]:
        spreads, parts = self._spreads[form], self._parts[form]
        standard = (parts - parts.mean(axis=1, keepdims=True)) / spreads[:, None]
        slopes, loss = stack(standard, self._goal)
        if not slopes.any():  # no head tells anything of the labels
            return self._equal(form), loss
        return self.judge(form, dict(zip(self._names, (slopes / spreads).tolist(), strict=True))), loss

    def _climbed(self, best: Candidate) -> Candidate:
        for _ in range(SWEEPS):
            before = best.value
            for name in self._names:
                for weights in self._steps(best.fusion, name):
                    tried = self.judge(best.fusion.method, weights)
                    best = tried if tried.value > best.value + GAIN else best
            if best.value <= before + GAIN:
                break
        return best

    def _steps(self, fusion: Fusion, name: str) -> list[dict[str, float]]:
        """The weights with another one of this task; steps are alike for values of narrow and of wide spread."""
        spreads = dict(zip(self._names, self._spreads[fusion.method].tolist(), strict=True))
        weights = fusion.weights
        own = weights.get(name, 0.0)
        greatest = max(weight * spreads[other] for other, weight in weights.items()) / spreads[name]
        levels = {*(own * factor for factor in FACTORS), *(greatest * level for level in LEVELS)} - {own}
        tried = [{**weights, name: level} for level in sorted(levels)]
        return [each for each in tried if any(each.values())]

    def _pruned(self, best: Candidate) -> Candidate:
        """Without the tasks that the goal does not miss."""
        for name in sorted(best.fusion.weights, key=best.fusion.weights.__getitem__):
            rest = {other: weight for other, weight in best.fusion.weights.items() if other != name}
            if rest:
                tried = self.judge(best.fusion.method, rest)
                best = tried if tried.value >= best.value else best
        return best


def stack(parts: Floats, goal: Goal) -> tuple[Floats, float]:
    """(slopes (m,) of 0 or more, loss) of the logistic model of the goal's labels on parts (m, n).

    The loss is the mean over the goal's terms, by their shares; each has an intercept of its own. It is convex.
    """
    count, terms = len(parts), goal.terms
    tables = [parts[:, term.rows] for term in terms]

    def loss(point: Floats) -> tuple[float, Floats]:
        slopes = point[:count]
        total, gradient = (
            RIDGE * float(slopes @ slopes),
            np.concatenate([2.0 * RIDGE * slopes, np.zeros(len(terms))]),
        )
        for number, (term, table) in enumerate(zip(terms, tables, strict=True)):
            z = slopes @ table + point[count + number]
            total += term.share * float(np.mean(np.logaddexp(0.0, z) - term.labels * z))
            error = term.share * (expit(z) - term.labels) / len(z)
            gradient[:count] += table @ error
            gradient[count + number] += error.sum()
        return total, gradient

    bounds: Sequence[tuple[float | None, None]] = [(0.0, None)] * count + [(None, None)] * len(terms)
    found = minimize(
        loss, np.zeros(count + len(terms)), jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-10
    )
    slopes = found.x[:count]
    return np.where(slopes > 1e-6 * slopes.max(), slopes, 0.0), float(found.fun)


def _spreads(parts: Floats) -> Floats:
    """Standard deviations (m,) of parts (m, n), 1 for what is constant."""
    found: Floats = parts.std(axis=1)
    return np.where(found > 1e-9, found, 1.0)


def _parts(form: Method, values: Floats) -> Floats:
    return np.log(np.maximum(values, FLOOR)) if form == "weighted_product" else values
