"""Calibration: whether ranks of truths or latent codes are uniform, also near one observation.

The ranks are those of truths, of latent codes, or of products of pairs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import special, stats

from bayesinn.core import seeds
from bayesinn.core.arrays import numbers
from bayesinn.core.errors import InputError, check_integer, check_type
from bayesinn.diagnostics import beyond
from bayesinn.diagnostics.arrays import Arrays, check_finite, paired
from bayesinn.diagnostics.bands import Band, band_p_values, simultaneous_band
from bayesinn.diagnostics.deviation import (
    Deviation,
    Tested,
    interval_of_mean,
    normal_scores,
    of_distribution,
    shift_and_spread,
)

if TYPE_CHECKING:
    import xarray


#: Points at which the ECDF of continuous values is compared.
POINTS: tuple[float, ...] = tuple(round(0.01 * step, 2) for step in range(1, 100))


#: The fields of :class:`UniformityResult`, which results on uniform values begin with.
Uniformity = tuple[tuple[str, ...], np.ndarray, float, np.ndarray, Band]


@dataclass(frozen=True, eq=False, repr=False)
class UniformityResult(Tested):
    """Values that should be uniform.

    The ``p_value`` is one minus the smallest level whose ECDF band holds them.
    """

    title = "Uniformity"
    values: np.ndarray  #: (n, k), each from 0 to 1
    band: Band  #: for the number of values below each point, the same for all columns

    @property
    def simulations(self) -> int:
        return self.band.size

    @property
    def ecdf(self) -> np.ndarray:
        """Array (points, k): share of the values below each of ``band.points``."""
        return counts_below(self.values, self.band.points).T / self.simulations

    @property
    def ecdf_difference(self) -> np.ndarray:
        """Array (points, k): ECDF of the values minus that of uniform ones."""
        return self.ecdf - self.band.points[:, None]

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """Largest distance of each ECDF from the uniform one, at the points of the band."""
        return (self._distance(("too few small values", "too many small values")),)

    def _distance(
        self, words: tuple[str, str], measure: str = "distance from uniform"
    ) -> Deviation:
        points = tuple(map(float, self.band.points))
        return of_distribution(
            self.ecdf_difference, points, self.simulations, self.columns, words, measure
        )


def uniformity(
    columns: tuple[str, ...],
    values: np.ndarray,
    *,
    level: float = 0.99,
    points: tuple[float, ...] = POINTS,
) -> UniformityResult:
    """Test whether values (n, k) are uniform, by the simultaneous band of their ECDF.

    The values are independent within each column.

    See :mod:`bayesinn.diagnostics.bands`. The ECDF is compared at ``points``, increasing numbers
    between 0 and 1.
    """
    check_type("Argument 'columns'", columns, Sequence, "several names", "pass ('rate', 'size')")
    values = numbers("Values to compare with uniform ones", values)
    if values.ndim != 2 or len(values) == 0 or values.shape[1] != len(columns):
        raise InputError(
            "Values to compare with uniform ones",
            expected=f"shape (n, {len(columns)}), a column for each of the {len(columns)} names",
            got=f"shape {values.shape}",
            do="put one value in a row, and name all columns; a single column is values[:, None]",
        )
    # Not "any outside": NaN is neither inside nor outside.
    bad = np.size(values) - np.count_nonzero((values >= 0.0) & (values <= 1.0))
    if bad:
        raise InputError(
            "Values to compare with uniform ones",
            expected="numbers from 0 to 1",
            got=f"{bad:,} of {values.size:,} that are NaN or outside",
            do="divide ranks by the number of draws plus one, and leave out NaN",
        )
    return UniformityResult(*compare_with_uniform(columns, values, level, points))


def compare_with_uniform(
    columns: tuple[str, ...], values: np.ndarray, level: float, points: tuple[float, ...] = POINTS
) -> Uniformity:
    """Return the fields of a result; see :func:`uniformity`."""
    points = tuple(map(float, points))
    size = len(values)
    band = simultaneous_band(points, size, level)
    p_value = band_p_values(counts_below(values, band.points), points, size)
    return tuple(columns), p_value, level, values, band


def counts_below(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Count the values (n, k) of each column below each point: integer array (k, points)."""
    return np.stack([np.searchsorted(np.sort(column), points, side="left") for column in values.T])


def ranks(truth: np.ndarray, draws: np.ndarray, *, seed: int) -> np.ndarray:
    """Rank each truth (n, *event) among draws (n, L, *event), from 0 to L; break ties at random.

    If truth and draws come from the same posterior, the rank is uniform on 0, ..., L (Talts et al.
    2018, "Validating Bayesian inference algorithms with simulation-based calibration",
    arXiv:1804.06788). If there are ties, this needs random breaking (Modrak et al. 2023,
    arXiv:2211.02383).

    >>> import numpy as np
    >>> ranks(np.array([0.5, 9.0]), np.array([[0.1, 0.2, 0.9], [1.0, 2.0, 3.0]]), seed=0)
    array([2, 3])
    """
    truth, draws = (
        numbers("Truths and draws to rank them among", value) for value in (truth, draws)
    )
    alike = draws.ndim == truth.ndim + 1 and truth.shape == draws.shape[:1] + draws.shape[2:]
    if truth.ndim == 0 or not alike or draws.size == 0:
        raise InputError(
            "Truths and draws to rank them among",
            expected="shapes (n, ...) and (n, draws, ...)",
            got=f"shapes {truth.shape} and {draws.shape}",
            do="put data sets on the first axis of both, and draws on the second of the draws",
        )
    # The smallest of numbers with a NaN is NaN.
    if np.isnan(np.min(truth)) or np.isnan(np.min(draws)):
        raise InputError(
            "Truths and draws to rank them among",
            expected="numbers",
            got=f"{np.sum(np.isnan(truth)):,} truths and {np.sum(np.isnan(draws)):,} draws that "
            "are NaN",
            do="leave out the data sets concerned and count them",
        )
    # A named stream: the bare seed would repeat the numbers of users who also simulate with NumPy
    # from that seed.
    below = np.sum(draws < truth[:, None], axis=1)
    ties = np.sum(draws == truth[:, None], axis=1)
    return below + seeds.generator(seed, "ties").integers(0, ties, endpoint=True)


def uniform_ranks(rank: np.ndarray, draws: int, *, seed: int) -> np.ndarray:
    """Spread ranks from 0 to ``draws`` over [0, 1): exactly uniform for a correct posterior.

    This holds for any number of draws.
    """
    check_integer("Number of draws", draws)
    rank = numbers("Ranks", rank)
    return (rank + seeds.generator(seed, "cells").random(np.shape(rank))) / (draws + 1)


def pit(truth: np.ndarray, draws: np.ndarray, *, seed: int) -> np.ndarray:
    """Return the ranks of truths (n, *event) among draws (n, L, *event), spread over [0, 1)."""
    return uniform_ranks(ranks(truth, draws, seed=seed), draws.shape[1], seed=seed)


_BLOCK = 500
_BLOCK_ELEMENTS = 10_000_000  # of the correlations of a block of data sets
#: Pairs of parameters that are tested at most: all of 45 parameters. More take minutes and memory.
MOST_PAIRS = 1_000
# Data sets whose correlations say which pairs are tested, and their largest share: the others test
# the pairs.
_CHOSEN_FROM = 500
_CHOSEN_SHARE = 4


@dataclass(frozen=True, eq=False, repr=False)
class SBCResult(UniformityResult):
    """Ranks of the truths, and how far from uniform they are.

    The ``values`` are the ranks spread over [0, 1).
    """

    title = "SBC"
    shown = ("p_value", "chi_square_p_value", "inside")
    ranks: np.ndarray  #: integers (n, k), each between 0 and ``draws``
    draws: int  #: number L of posterior draws for each data set

    @property
    def edges(self) -> np.ndarray:
        """Integer array (bins + 1,): histogram bin b has ranks edges[b], ..., edges[b + 1] - 1."""
        bins = min(self.draws + 1, max(2, min(20, self.simulations // 10)))
        return np.rint(np.linspace(0, self.draws + 1, bins + 1)).astype(int)

    @property
    def counts(self) -> np.ndarray:
        """Integer array (bins, k): the rank histogram."""
        return np.stack(
            [np.histogram(column, self.edges - 0.5)[0] for column in self.ranks.T], axis=-1
        )

    @property
    def expected_counts(self) -> np.ndarray:
        """Array (bins,): the histogram of uniform ranks.

        Bins differ by one rank if their number does not divide L + 1.
        """
        return self.simulations * np.diff(self.edges) / (self.draws + 1)

    @property
    def chi_square_p_value(self) -> np.ndarray:
        """Array (k,): p-value of the rank histogram."""
        return np.asarray(
            stats.chisquare(self.counts, self.expected_counts[:, None], axis=0).pvalue
        )

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """Shift and spread of the draws, and the one-sided coverage error, which sees shape too."""
        words = "draws too high or of another shape", "draws too low or of another shape"
        return (
            *shift_and_spread(self.values, self.columns, self.draws),
            self._distance(words[::-1], "one-sided coverage error"),
        )

    def to_datatree(self) -> "xarray.DataTree":
        """Return PIT values for ArviZ in the group ``prior_sbc``.

        Plot them with ``arviz_plots.plot_ecdf_pit(result.to_datatree())``.
        """
        import arviz_base

        values = {name: self.values[None, :, index] for index, name in enumerate(self.columns)}
        return arviz_base.from_dict({"prior_sbc": values})


@dataclass(frozen=True, eq=False, repr=False)
class DependenceResult(SBCResult):
    """SBC of the products of pairs of parameters; a column is a pair."""

    title = "Dependence"
    shown = ("p_value", "inside", "excess")
    pairs: tuple[tuple[str, str], ...]  #: two names for each column
    parameters: tuple[str, ...]  #: names of the columns that were paired
    #: (n, k), product of the truth's normal scores minus the mean of the draws'
    difference: np.ndarray
    untested: int = 0  #: number of pairs of weaker correlations, which are not tested

    @property
    def _passing(self) -> str:
        return f"{super()._passing}{self.left_out}"

    @property
    def _heading(self) -> str:
        return f"{super()._heading}{self.left_out}"

    @property
    def left_out(self) -> str:
        """What is not tested, in brackets; empty if all pairs are."""
        if not self.untested:
            return ""
        return (
            f" ({self.untested:,} pairs of weaker correlations among draws and among truths are "
            "not tested)"
        )

    @property
    def excess(self) -> np.ndarray:
        """Array (k,): mean PIT minus one half, in standard errors.

        A positive excess means that the posterior's correlation is too low.
        """
        return (self.values.mean(axis=0) - 0.5) * np.sqrt(12.0 * self.simulations)

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """Error of the draws' correlation of normal scores."""
        words = "correlation of the draws too low", "correlation of the draws too high"
        estimate, lower, upper = interval_of_mean(-self.difference)
        return (
            Deviation(
                "error of correlation",
                unit="",
                tolerance="correlation",
                columns=self.columns,
                estimate=estimate,
                lower=lower,
                upper=upper,
                simulations=self.simulations,
                words=words,
                beyond=self._beyond,
            ),
        )

    def _beyond(self, tolerance: float) -> np.ndarray:
        # Products of a few scores are far from normal, but their ranks are exactly uniform for a
        # correct posterior.
        return np.maximum(beyond.of_mean(self.difference, tolerance), self.p_value)


def sbc(truth: Arrays, draws: Arrays, *, seed: int, level: float = 0.99) -> SBCResult:
    """Check calibration by the ranks of the truths among their posterior draws.

    Talts et al. 2018, arXiv:1804.06788, with the band of Saeilynoja, Buerkner & Vehtari 2022 (see
    :mod:`bayesinn.diagnostics.bands`). The draws given one data set must be independent: thin MCMC.
    """
    pairs = paired(truth, draws)
    rank = ranks(pairs.truth, pairs.draws, seed=seed)
    size = pairs.draws.shape[1]
    return SBCResult(*compare_ranks(pairs.columns, rank, size, seed, level), rank, size)


def latent_codes(
    latent: np.ndarray, reference: np.ndarray, *, seed: int, level: float = 0.99
) -> SBCResult:
    """Test latent codes (n, d) of the true parameters, and their distance from the centre, by SBC.

    If the posterior is correct, the flow maps truths to draws from the latent distribution, like
    those of the reference (n, L, d). Column ``distance`` tells how typical a pair of parameters and
    data is. Too large on average: posteriors are too narrow. A single large one: the pair is unlike
    the simulations.
    """
    truth, draws = (
        {"latent": code, "distance": np.linalg.norm(check_finite("Latent codes", code), axis=-1)}
        for code in (latent, reference)
    )
    return sbc(truth, draws, seed=seed, level=level)


def dependence(truth: Arrays, draws: Arrays, *, seed: int, level: float = 0.99) -> DependenceResult:
    """Check each pair of parameters by the rank of the product of their standardised values.

    At least two columns are needed. Marginal ranks are blind to correlations; the rank of this test
    quantity is not (Modrak et al. 2023, "Simulation-based calibration checking for Bayesian
    computation: the choice of test quantities shapes sensitivity", arXiv:2211.02383). Truth and
    draws are standardised together, so that the rank is exactly uniform if all is correct.

    Of more than 1,000 pairs, those with the strongest correlations are tested, within posteriors or
    among truths; the result says how many are not. They are chosen by a quarter of the data sets,
    500 at most, and tested by the others, so that ranks stay exactly uniform if all is correct.
    """
    pairs = paired(truth, draws)
    if len(pairs.columns) < 2:
        raise InputError(
            "parameters",
            expected="two columns or more, for pairs",
            got=str(list(pairs.columns)),
            do="leave dependence out",
        )
    together = np.concatenate([pairs.truth[:, None], pairs.draws], axis=1)
    tested = np.stack(np.triu_indices(together.shape[2], 1), axis=-1)
    if len(tested) > MOST_PAIRS:
        chosen_from = min(_CHOSEN_FROM, len(together) // _CHOSEN_SHARE)
        tested = _strongest(tested, together[:chosen_from])
        together = together[chosen_from:]
    # Medians and quartiles: one draw from a heavy tail must not decide the scale of a data set.
    low, middle, high = np.quantile(together, [0.25, 0.5, 0.75], axis=1)
    standard = (together - middle[:, None]) / np.where(high > low, high - low, 1.0)[:, None]
    products = (standard[..., first] * standard[..., second] for first, second in tested)
    rank = np.stack(
        [ranks(product[:, 0], product[:, 1:], seed=seed) for product in products], axis=-1
    )
    names_of_pairs = tuple(
        (pairs.columns[first], pairs.columns[second]) for first, second in tested
    )
    names = tuple(map(" x ".join, names_of_pairs))
    size = pairs.draws.shape[1]
    return DependenceResult(
        *compare_ranks(names, rank, size, seed, level),
        ranks=rank,
        draws=size,
        pairs=names_of_pairs,
        parameters=pairs.columns,
        difference=_products(together, tested, seed),
        untested=math.comb(len(pairs.columns), 2) - len(tested),
    )


def _strongest(pairs: np.ndarray, together: np.ndarray) -> np.ndarray:
    """Return the :data:`MOST_PAIRS` pairs of columns with the strongest correlations.

    A correlation is that of truth and draws (n, 1 + L, k) within a data set, or that of truths over
    data sets, if it is larger: draws may lack the correlation that truths have.
    """
    count = len(together)
    square = np.zeros(together.shape[2:] * 2)
    for values in together:
        square += _correlations(values) ** 2
    within = np.sqrt(square / max(count, 1))
    scores = normal_scores((stats.rankdata(together[:, 0], axis=0) - 0.5) / max(count, 1))
    among = abs(_correlations(scores)) if count > 1 else np.zeros_like(within)
    strength = np.maximum(within, among)
    strongest = np.argsort(-strength[*pairs.T], kind="stable")[:MOST_PAIRS]
    return pairs[np.sort(strongest)]


def _correlations(values: np.ndarray) -> np.ndarray:
    """Return the correlations (k, k) of columns (n, k); constant ones have none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(np.corrcoef(values, rowvar=False))


def _products(together: np.ndarray, pairs: np.ndarray, seed: int) -> np.ndarray:
    """Return products (n, pairs) of the first of 1 + L normal scores, minus the others' mean."""
    generator = seeds.generator(seed, "ties", 1)
    first, second = pairs.T
    truth = np.empty((len(together), together.shape[2]))
    of_draws = np.empty((len(together), len(first)))
    # In blocks of data sets: all normal scores together may not fit into memory.
    size = max(1, min(_BLOCK, _BLOCK_ELEMENTS // together.shape[2] ** 2))
    for start in range(0, len(together), size):
        block = together[start : start + size]
        # Ties at random: in the order of draws, they would correlate all parameters that have ties.
        order = np.argsort(np.lexsort((generator.random(block.shape), block), axis=1), axis=1)
        # Of variance one, like those of the truths below: few ranks scatter less than a normal
        # distribution.
        grid = normal_scores((np.arange(block.shape[1]) + 0.5) / block.shape[1])
        scores = (grid / grid.std())[order]
        rows = slice(start, start + size)
        draws = scores[:, 1:]
        truth[rows] = scores[:, 0]
        of_draws[rows] = (np.swapaxes(draws, 1, 2) @ draws / draws.shape[1])[:, first, second]
    # A wrong shift or spread is no wrong correlation.
    still = np.ptp(truth, axis=0) == 0.0
    centred = np.where(still, 0.0, truth - truth.mean(axis=0))
    truth = centred / np.where(still, 1.0, truth.std(axis=0))
    return truth[:, first] * truth[:, second] - of_draws


def compare_ranks(
    columns: tuple[str, ...], rank: np.ndarray, draws: int, seed: int, level: float
) -> Uniformity:
    """Test ranks (n, k) among a number of draws."""
    points = tuple(np.arange(1, draws + 1) / (draws + 1))
    values = uniform_ranks(rank, draws, seed=seed)
    return compare_with_uniform(columns, values, level, points)


# Of the proposals of a data set, fewer can't tell that a posterior is correct.
_FEWEST_EFFECTIVE = 3.0


@dataclass(frozen=True, eq=False, repr=False)
class PosteriorSBCResult(UniformityResult):
    """Weighted ranks around one observation."""

    title = "Posterior SBC"
    #: (n,), effective number of proposals, 1 / sum of squared weights; near 1, there is no power;
    #: 0 where no weight is positive
    effective: np.ndarray
    #: (n,), whether the truth and all proposals of a data set have no density
    impossible: np.ndarray

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """Largest distance from uniform; without an upper bound where most weights can't tell.

        They can't tell that a posterior is correct if they leave hardly more than the truth. No
        density at all tells enough.
        """
        (distance,) = super().deviations
        effective = np.where(self.impossible, np.inf, self.effective)
        if np.median(effective) >= _FEWEST_EFFECTIVE:
            return (distance,)
        # The size alone is left, without a direction.
        return (
            replace(
                distance,
                estimate=abs(distance.estimate),
                lower=distance.least,
                upper=np.full(len(self.columns), np.inf),
                one_sided=True,
                words=("ranks are not uniform", "ranks are not uniform"),
            ),
        )

    @property
    def summary(self) -> str:
        text = (
            f"{super().summary}; weights leave {np.median(self.effective):.2g} proposals of a "
            "data set"
        )
        count = np.sum(self.impossible)
        if count:
            text += f"; no density at the truth and all proposals of {count:,} data sets"
        return text


def posterior_sbc(
    truth: Arrays,
    proposals: Arrays,
    truth_log_weight: np.ndarray,
    log_weights: np.ndarray,
    *,
    seed: int,
    level: float = 0.99,
) -> PosteriorSBCResult:
    """Check calibration on data sets replicated from the posterior of an observation.

    Saeilynoja, Schmitt, Buerkner & Vehtari 2025, "Posterior SBC: simulation-based calibration
    checking conditional on data", arXiv:2502.03279. The posterior of the observation takes the
    place of the prior: parameters are drawn from it, and a new data set is simulated from each. The
    parameters should then be a draw from their posterior given both data sets. This is the
    posterior given the observation, weighted with the likelihood of the new data set, which is
    proportional to posterior over prior density. Truth and L proposals are drawn alike; the weights
    are the probabilities of each to have made the data set. The truth's position among them, by
    size, is exactly uniform for any L.

    The test is of the posterior given the *new* data sets; the posterior of the observation only
    decides where. If that is wrong, the test looks at a less relevant place.

    Truths (n, *event) and proposals (n, L, *event) are drawn from the posterior of the observation.
    Each truth made one new data set. Its log weights, (n,) and (n, L), are log posterior given this
    data set minus log prior. A data set without a finite one shows a wrong posterior: a correct one
    has a density at the truth. There the truth ranks lowest in all columns.
    """
    pairs = paired(truth, proposals)
    weights, impossible = _shares(truth_log_weight, log_weights, pairs.draws.shape[:2])
    own = weights[:, :1]
    others = weights[:, 1:, None]
    true = pairs.truth[:, None]
    below, ties = (
        np.sum(others * where, axis=1) for where in (pairs.draws < true, pairs.draws == true)
    )
    values = below + seeds.generator(seed, "posterior sbc").random(below.shape) * (own + ties)
    # Rounding may lift a sum of shares to one.
    values = np.minimum(values, np.nextafter(1.0, 0.0))
    squared = np.sum(weights**2, axis=1)
    effective = np.divide(1.0, squared, out=np.zeros_like(squared), where=~impossible)
    uniform = compare_with_uniform(pairs.columns, values, level)
    return PosteriorSBCResult(*uniform, effective=effective, impossible=impossible)


def _shares(
    truth: np.ndarray, others: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (n, 1 + L) that sum to one, and where there are none (n,): all are zero."""
    truth, others = (numbers("log weights", value).astype(float) for value in (truth, others))
    if truth.shape != shape[:1] or others.shape != shape:
        raise InputError(
            "log weights",
            expected=f"shapes {shape[:1]} and {shape}",
            got=f"shapes {truth.shape} and {others.shape}",
            do="evaluate log_prob minus the log prior at the same parameters",
        )
    log_weights = np.concatenate([truth[:, None], others], axis=1)
    if np.isnan(log_weights).any() or np.isposinf(log_weights).any():
        raise InputError(
            "log weights",
            expected="numbers below infinity",
            got="NaN or infinity",
            do="leave out the data sets concerned and count them",
        )
    impossible = np.isneginf(log_weights).all(axis=1)
    weights = np.zeros_like(log_weights)
    weights[~impossible] = special.softmax(log_weights[~impossible], axis=1)
    return weights, impossible
