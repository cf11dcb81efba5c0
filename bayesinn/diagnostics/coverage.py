"""Coverage: whether intervals, regions and balls hold the truth as often as they should.

An interval of nominal coverage q should hold the truth with probability q.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.ensemble import ExtraTreesRegressor

from bayesinn.core import seeds
from bayesinn.core.arrays import numbers
from bayesinn.core.errors import InputError
from bayesinn.core.seeds import check_seed
from bayesinn.diagnostics.arrays import Arrays, by_column, check_points, paired
from bayesinn.diagnostics.calibration import UniformityResult, compare_with_uniform, pit
from bayesinn.diagnostics.deviation import Deviation

#: Nominal coverages checked by default: 0.05, 0.10, ..., 0.95, 0.99.
NOMINAL: tuple[float, ...] = (*(round(0.05 * step, 2) for step in range(1, 20)), 0.99)


@dataclass(frozen=True, eq=False, repr=False)
class CoverageResult(UniformityResult):
    """How often posterior intervals or regions hold the truth.

    ``values`` are the smallest coverages at which an interval or region holds its truth.
    """

    title = "Coverage"

    empirical = UniformityResult.ecdf  #: array (m, k): observed coverages

    @property
    def nominal(self) -> np.ndarray:
        """Array (m,): nominal coverages."""
        return self.band.points

    @property
    def lower(self) -> np.ndarray:
        """Array (m,): lower end of the band for correct posteriors; ``upper`` is the other end.

        At any one nominal coverage, a correct posterior lies inside with probability ``level``.
        """
        return (
            stats.binom.interval(self.level, self.simulations, self.nominal)[0] / self.simulations
        )

    @property
    def upper(self) -> np.ndarray:
        return (
            stats.binom.interval(self.level, self.simulations, self.nominal)[1] / self.simulations
        )

    @property
    def calibration_error(self) -> np.ndarray:
        """Array (k,): median of ``|observed - nominal|`` over nominal coverages.

        This is the calibration error of Radev et al. 2020.
        """
        return np.median(np.abs(self.ecdf_difference), axis=0)

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """Largest difference of observed and nominal coverage."""
        words = "intervals hold the truth too rarely", "intervals hold the truth too often"
        return (self._distance(words, "coverage error"),)

    @property
    def summary(self) -> str:
        largest = np.max(np.abs(self.ecdf_difference), axis=0)
        worst = int(np.argmax(largest))
        return f"{self._passing}; largest error {largest[worst]:.2g} ({self.columns[worst]})"

    def to_dataframe(self) -> pd.DataFrame:
        """Return calibration error, coverage if checked, and p-value by column.

        The coverage is that of the 50, 90 and 95 % intervals.
        """
        table = super().to_dataframe()
        for percent in (95, 90, 50):
            for index in np.flatnonzero(np.isclose(self.nominal, percent / 100)):
                table.insert(0, f"coverage_{percent}", self.empirical[index])
        table.insert(0, "calibration_error", self.calibration_error)
        return table


def coverage(
    truth: Arrays,
    draws: Arrays,
    *,
    seed: int,
    nominal: tuple[float, ...] = NOMINAL,
    level: float = 0.99,
) -> CoverageResult:
    """Count how often central posterior intervals hold the truth.

    An interval of coverage q holds the truth if the truth's rank lies in the central fraction q of
    all ranks; between ranks, a random number decides. So the count of a correct posterior is
    exactly binomial with mean q, for any number of draws, and for discrete parameters too. Coverage
    hardly sees a shift, as one side gains what the other loses; SBC sees it.
    """
    pairs = paired(truth, draws)
    # The coverage of the central interval that just holds the truth is uniform for a correct
    # posterior.
    values = np.abs(2.0 * pit(pairs.truth, pairs.draws, seed=seed) - 1.0)
    return CoverageResult(*compare_with_uniform(pairs.columns, values, level, nominal))


def joint_coverage(
    truth_log_prob: np.ndarray,
    draws_log_prob: np.ndarray,
    *,
    seed: int,
    nominal: tuple[float, ...] = NOMINAL,
    level: float = 0.99,
) -> CoverageResult:
    """Count how often the joint regions of highest posterior density hold the truth.

    Arguments are log posterior densities of all parameters together: (n,) of truths and (n, L) of
    draws. The region of coverage q holds the truth if at most a share q of the draws are denser:
    Hermans et al. 2022, "A trust crisis in simulation-based inference?", arXiv:2110.06581. The test
    sees wrong correlations, but a posterior that equals the prior passes.
    """
    # A posterior may exclude a truth.
    pairs = paired(
        *(
            {"joint": np.maximum(numbers("Log posterior densities", value), np.finfo(float).min)}
            for value in (truth_log_prob, draws_log_prob)
        )
    )
    # Share of the posterior that is denser than the truth.
    values = 1.0 - pit(pairs.truth, pairs.draws, seed=seed)
    return CoverageResult(*compare_with_uniform(pairs.columns, values, level, nominal))


class TARPResult(UniformityResult):
    """Shares of draws that are nearer to a reference point than the truth."""

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """Largest distance of the distribution of shares from the uniform one."""
        words = (
            "truths are farther from an estimate than draws",
            "truths are nearer to an estimate than draws",
        )
        return (self._distance(words),)


def tarp(
    truth: Arrays,
    draws: Arrays,
    references: Arrays | None = None,
    *,
    seed: int,
    level: float = 0.99,
) -> TARPResult:
    """Count draws nearer to a reference point than the truth: their share is uniform if correct.

    Lemos et al. 2023, "Sampling-based accuracy testing of posterior estimators for general
    inference", arXiv:2302.03026. The references (n, *event) are any function of the data and of
    random numbers, but not of the truth. By default they are random points in the box that truths
    and draws fill. If they do not depend on the data, a posterior that equals the prior passes.
    With points that follow the data (see :func:`reference_points`) it fails; only the correct
    posterior passes for all such points.
    """
    pairs = paired(truth, draws)
    # Nothing below treats truth and draws differently: the share is then exactly uniform.
    together = np.concatenate([pairs.truth[:, None], pairs.draws], axis=1)
    if references is None:
        low, high = np.quantile(together, [0.005, 0.995], axis=(0, 1))
        points = seeds.generator(seed, "tarp").uniform(low, high, size=pairs.truth.shape)
    else:
        points = by_column("references", references, truth, rows=len(pairs.truth))
    # Parameters have equal weight in units of the usual posterior width; the median, because of
    # single heavy tails.
    scale = np.median(together.std(axis=1), axis=0)
    scale[scale == 0.0] = 1.0
    distance = np.linalg.norm((together - points[:, None]) / scale, axis=-1)
    share = pit(distance[:, 0], distance[:, 1:], seed=seed)
    return TARPResult(*compare_with_uniform(("joint",), share[:, None], level))


def reference_points(
    features: np.ndarray, truth: np.ndarray, new_features: np.ndarray, *, seed: int
) -> np.ndarray:
    """Estimate parameters (n, k) roughly from features, by a forest of randomised trees.

    The estimates are for data with ``new_features`` (n, f). The forest (Geurts, Ernst & Wehenkel
    2006, "Extremely randomized trees", Machine Learning 63) learns from features (m, f) and truths
    (m, k) of simulations that the diagnostics do not use otherwise: points must not depend on the
    truths tested. Each point is moved at random by about the error of the estimates, so that points
    lie on all sides of the truths.
    """
    truth = check_points("truth", truth)
    features = check_points("features", features)
    width = features.shape[1]
    new_features = check_points("new_features", new_features, least=1, width=width)
    if len(features) != len(truth):
        raise InputError(
            "features",
            expected=f"a row for each of {len(truth)} truths",
            got=f"{len(features)}",
            do="pass those of the same simulations",
        )
    check_seed(seed)
    # Ranks of heavy-tailed parameters, so that no single simulation decides where trees split.
    order = np.argsort(np.argsort(truth, axis=0), axis=0) / max(len(truth) - 1, 1)
    forest = ExtraTreesRegressor(
        n_estimators=100, bootstrap=True, oob_score=True, random_state=seed % 2**32
    )
    forest.fit(features, order if order.shape[1] > 1 else order[:, 0])
    estimate = forest.predict(new_features).reshape(len(new_features), -1)
    error = np.nanstd(forest.oob_prediction_.reshape(order.shape) - order, axis=0)
    noise = seeds.generator(seed, "reference points").normal(size=estimate.shape)
    position = np.clip(estimate + error * noise, 0.0, 1.0)
    grid = np.linspace(0.0, 1.0, len(truth))
    return np.stack(
        [
            np.interp(at, grid, values)
            for at, values in zip(position.T, np.sort(truth.T), strict=True)
        ],
        -1,
    )
