"""Calibration of model probabilities: how often the models that are likely are true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesinn.core import seeds
from bayesinn.core.arrays import numbers
from bayesinn.core.errors import InputError, check_type

_BINS = 10
_REPETITIONS = 20
_SMALLEST = 1e-300
# Single precision, of many models.
_ROUNDING = 1e-4


@dataclass(frozen=True, eq=False, repr=False)
class ModelCalibration:
    """Calibration of probabilities of k models, for n data sets whose model is known.

    Attributes
    ----------
    names : tuple of str, the k models
    predicted, observed : array (bins, k)
        Mean probability of a model among data sets where it is within a bin, and the share of these
        that the model made; NaN without data sets.
    counts : array (bins, k), number of these data sets
    error : float
        Expected calibration error: mean distance of ``predicted`` and ``observed``, over data sets
        and models.
    chance : float
        The expected calibration error of exact probabilities, for as many data sets.
    confusion : array (k, k)
        Share of data sets of each model (rows) for which each model (columns) is most probable; NaN
        for a model that made none of them.
    accuracy : float, share of data sets whose model is the most probable
    log_score : float
        Mean log probability of the true model in nats, at most zero. It is largest for exact
        probabilities.
    """

    names: tuple[str, ...]
    predicted: np.ndarray
    observed: np.ndarray
    counts: np.ndarray
    error: float
    chance: float
    confusion: np.ndarray
    accuracy: float
    log_score: float

    @property
    def summary(self) -> str:
        """One line of text: the main numbers."""
        return (
            f"calibration error {self.error:.3f} (exact: {self.chance:.3f}), accuracy "
            f"{self.accuracy:.3f}, log score {self.log_score:.3f} nats"
        )

    def to_dataframe(self) -> pd.DataFrame:
        """Return the confusion of models, true ones as rows."""
        index = pd.Index(self.names, name="true model")
        return pd.DataFrame(self.confusion, index, pd.Index(self.names, name="most probable"))

    def __repr__(self) -> str:
        table = self.to_dataframe().to_string(
            float_format=lambda value: f"{value:.3f}", na_rep="\N{EN DASH}"
        )
        return f"{self.summary}\n{table}"


def model_calibration(
    truth: np.ndarray, probabilities: np.ndarray, names: Sequence[str], *, seed: int = 0
) -> ModelCalibration:
    """Compare probabilities (n, k) of models with the numbers (n,) of those that made the data.

    Naeini, Cooper and Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian
    binning, AAAI (expected calibration error, here over ten equal bins of each model).

    Examples
    --------
    >>> generator = np.random.default_rng(1)
    >>> probability = generator.random(5_000)
    >>> truth = (generator.random(5_000) < probability).astype(int)
    >>> both = np.stack([1.0 - probability, probability], axis=1)
    >>> model_calibration(truth, both, ["a", "b"]).error < 0.03
    True
    >>> model_calibration(
    ...     truth, both**3 / np.sum(both**3, 1, keepdims=True), ["a", "b"]
    ... ).error > 0.1
    True
    """
    subject = "Model probabilities"
    check_type("Argument 'names'", names, Sequence, "a name for each model", "pass ['a', 'b']")
    truth, probabilities = (numbers(subject, value) for value in (truth, probabilities))
    count = len(names)
    known = truth.shape == probabilities.shape[:1] and np.isin(truth, np.arange(count)).all()
    if not known or len(truth) == 0 or probabilities.shape != (len(truth), count):
        raise InputError(
            "Model probabilities",
            expected=f"numbers (n,) from 0 to {count - 1}, and probabilities (n, {count}), of at "
            "least one data set",
            got=f"shapes {truth.shape} and {probabilities.shape}",
            do="reshape them",
        )
    # Booleans and whole floats are numbers of models, too, but no indices.
    truth = truth.astype(int)
    sums_to_one = np.abs(probabilities.sum(axis=1) - 1.0) <= _ROUNDING
    good = np.all(probabilities >= 0.0, axis=1) & sums_to_one
    if not good.all():
        first = int(np.argmin(good))
        raise InputError(
            "Model probabilities",
            expected="numbers from 0 to 1 that sum to one for each data set",
            got=f"{np.sum(~good):,} of {len(good):,} that don't; the first, {first}: "
            f"{probabilities[first]}",
            do="pass what ModelComparison.probabilities returns, or divide by the sums",
        )
    place = np.minimum((probabilities * _BINS).astype(int), _BINS - 1)
    member = place[None] == np.arange(_BINS)[:, None, None]
    counts = member.sum(axis=1)
    total = np.maximum(counts, 1)
    predicted = np.where(member, probabilities, 0.0).sum(axis=1) / total

    def shares(models: np.ndarray) -> np.ndarray:
        true = models[:, None] == np.arange(count)
        return (member & true).sum(axis=1) / total

    def error(observed: np.ndarray) -> float:
        return float(np.sum(counts * np.abs(predicted - observed)) / counts.sum())

    observed = shares(truth)
    generator = seeds.generator(seed, "model calibration")
    cumulative = np.cumsum(probabilities, axis=1)
    chances = []
    for _ in range(_REPETITIONS):
        below = cumulative < generator.random((len(truth), 1)) * cumulative[:, -1:]
        chances.append(error(shares(below.sum(axis=1))))
    best = probabilities.argmax(axis=1)
    confusion = np.zeros((count, count))
    np.add.at(confusion, (truth, best), 1.0)
    made = confusion.sum(axis=1, keepdims=True)
    empty = counts == 0
    own = probabilities[np.arange(len(truth)), truth]
    return ModelCalibration(
        tuple(names),
        np.where(empty, np.nan, predicted),
        np.where(empty, np.nan, observed),
        counts,
        error(observed),
        float(np.mean(chances)),
        np.where(made > 0.0, confusion / np.maximum(made, 1.0), np.nan),
        float(np.mean(best == truth)),
        float(np.mean(np.log(np.maximum(own, _SMALLEST)))),
    )
