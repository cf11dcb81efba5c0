"""No-U-turn sampling of many densities at once, each by several chains, compiled with XLA."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core import seeds
from bayesinn.core.compilation import full_precision, map_tensors
from bayesinn.core.errors import warn
from bayesinn.core.labels import columns
from bayesinn.core.weights import FEWEST_DRAWS

if TYPE_CHECKING:
    import xarray

    from bayesinn.simulation.simulator import Simulator


# Steps in one compiled call; calls of each stage of the warm-up. The covariance of the second half
# of a stage's draws becomes the scale of the next stage.
_BLOCK = 25
_WARM_UP = (3, 4, 4)
_DEEPEST_TREE = 7
_ACCEPTANCE = 0.8
_FIRST_STEP = 0.3
# Constants of dual averaging, as in Hoffman and Gelman (2014).
_GAMMA = 0.05
_DELAY = 10.0
_KAPPA = 0.75
# Number of draws that count for the initial covariance.
_PRIOR_DRAWS = 10.0
_SMALLEST_SD = 1e-4

#: A function of vectors (n, chains, d) and nested tensors (n, ...): log densities (n, chains).
LogDensity = Callable[[tf.Tensor, Any], tf.Tensor]


class Chains(NamedTuple):
    """Draws (n, chains, draws, d) of n densities; log densities, divergences (n, chains, draws)."""

    vectors: np.ndarray
    log_density: np.ndarray
    diverged: np.ndarray
    #: Number of evaluations (n,) of each density and its gradient, including the warm-up.
    evaluations: np.ndarray


class _Adaptation(NamedTuple):
    """Dual averaging of the step size of each density, tensors (n, 1, 1) and a count ()."""

    centre: tf.Tensor
    error: tf.Tensor
    log_step: tf.Tensor
    log_average: tf.Tensor
    count: tf.Tensor

    def update(self, acceptance: tf.Tensor) -> _Adaptation:
        count = self.count + 1.0
        share = 1.0 / (count + _DELAY)
        error = (1.0 - share) * self.error + share * (_ACCEPTANCE - acceptance)
        log_step = self.centre - tf.sqrt(count) / _GAMMA * error
        weight = count**-_KAPPA
        log_average = weight * log_step + (1.0 - weight) * self.log_average
        return _Adaptation(self.centre, error, log_step, log_average, count)


class NUTS:
    """No-U-turn sampler of densities of one form, compiled once for each number of them.

    Chains of one density share a step size and a scale, learned in the warm-up. The scale is the
    covariance within chains, as chains may be in different modes.

    References
    ----------
    Hoffman and Gelman (2014), The No-U-Turn Sampler, arXiv:1111.4246; by TensorFlow Probability.

    Examples
    --------
    >>> sampler = NUTS(lambda x, sd: -0.5 * tf.reduce_sum((x / sd[:, None]) ** 2, axis=-1))
    >>> start = tf.random.stateless_normal((2, 4, 1), (1, 2))
    >>> chains = sampler.run(start, tf.constant([[1.0], [0.1]]), draws=200, seed=3)
    >>> chains.vectors.shape
    (2, 4, 200, 1)
    >>> np.abs(chains.vectors.std(axis=(1, 2, 3)) / [1.0, 0.1] - 1.0).max() < 0.2
    np.True_
    """

    def __init__(self, log_density: LogDensity) -> None:
        self._log_density = log_density
        self._block = tf.function(self._steps, jit_compile=True, autograph=False)
        self._known: set[tuple[Any, ...]] = set()

    def compiled(self, start: Any, data: Any) -> bool:
        """Return whether :meth:`run` has compiled its program for arrays of these shapes."""
        return self._shapes(start, data) in self._known

    def _shapes(self, start: Any, data: Any) -> tuple[Any, ...]:
        return tuple(np.shape(value) for value in tf.nest.flatten((start, data)))

    @full_precision()
    def run(self, start: tf.Tensor, data: Any, *, draws: int, seed: int) -> Chains:
        """Draw from each density after a warm-up; ``start`` is (n, chains, d)."""
        self._known.add(self._shapes(start, data))
        position = tf.convert_to_tensor(start, tf.float32)
        data = map_tensors(tf.convert_to_tensor, data)
        spread = np.clip(np.std(position, axis=1), _SMALLEST_SD, 1.0)
        root = tf.constant(spread[:, :, None] * np.eye(spread.shape[1]), tf.float32)
        adaptation = _first_adaptation(len(spread))
        number = 0
        evaluations = np.zeros(len(spread), np.int64)

        def advance(blocks: int, adapt: bool) -> list[np.ndarray]:
            nonlocal position, adaptation, number, evaluations
            parts = []
            for _ in range(blocks):
                own = seeds.tensor_seed(seed, "nuts", number)
                position, adaptation, (*drawn, steps) = self._block(
                    position, adaptation, tf.constant(adapt), root, data, own
                )
                parts.append([np.moveaxis(value.numpy(), 0, 2) for value in drawn])
                evaluations = evaluations + steps.numpy().sum(axis=(0, 2))
                number += 1
            return [np.concatenate(part, axis=2) for part in zip(*parts, strict=True)]

        for blocks in _WARM_UP:
            adaptation = _first_adaptation(len(spread))
            drawn = advance(blocks, adapt=True)[0]
            if number < sum(_WARM_UP):
                root = _root(drawn[:, :, drawn.shape[2] // 2 :])
        kept = advance(-(-draws // _BLOCK), adapt=False)
        vectors, log_density, diverged = (value[:, :, :draws] for value in kept)
        return Chains(vectors, log_density, diverged, evaluations)

    def _steps(
        self,
        position: tf.Tensor,
        adaptation: _Adaptation,
        adapt: tf.Tensor,
        root: tf.Tensor,
        data: Any,
        seed: tf.Tensor,
    ) -> tuple[tf.Tensor, _Adaptation, list[tf.Tensor]]:
        """Take some steps of all chains.

        Return their positions, log densities, divergences and numbers of evaluations.
        """
        centre = tf.reduce_mean(position, axis=1, keepdims=True)

        def place(z: tf.Tensor) -> tf.Tensor:
            return centre + tf.linalg.matmul(z, root, transpose_b=True)

        kernel = tfp.mcmc.NoUTurnSampler(
            lambda z: self._log_density(place(z), data),
            step_size=tf.exp(adaptation.log_step),
            max_tree_depth=_DEEPEST_TREE,
        )
        offset = tf.linalg.matrix_transpose(position - centre)
        z = tf.linalg.matrix_transpose(tf.linalg.triangular_solve(root, offset))
        results = kernel.bootstrap_results(z)
        rows = z.shape[:2]
        shapes = [(tf.float32, z.shape), (tf.float32, rows), (tf.bool, rows), (tf.int32, rows)]
        arrays = [tf.TensorArray(dtype, _BLOCK, element_shape=shape) for dtype, shape in shapes]

        def step(
            index: tf.Tensor, z: tf.Tensor, results: Any, adaptation: _Adaptation, arrays: Any
        ) -> Any:
            log_step = tf.where(adapt, adaptation.log_step, adaptation.log_average)
            results = results._replace(step_size=tf.exp(log_step))
            z, results = kernel.one_step(z, results, seed=seeds.fold_in(seed, index))
            accepted = tf.exp(tf.minimum(results.log_accept_ratio, 0.0))
            # A step from where the density is zero has no gradient.
            accepted = tf.where(tf.math.is_finite(accepted), accepted, 0.0)
            updated = adaptation.update(tf.reduce_mean(accepted, axis=1)[:, None, None])
            adaptation = _Adaptation(
                *(tf.where(adapt, new, old) for new, old in zip(updated, adaptation, strict=True))
            )
            values = [
                place(z),
                results.target_log_prob,
                results.has_divergence,
                results.leapfrogs_taken,
            ]
            arrays = [
                array.write(index, value) for array, value in zip(arrays, values, strict=True)
            ]
            return index + 1, z, results, adaptation, arrays

        _, z, _, adaptation, arrays = tf.while_loop(
            lambda index, *_: index < _BLOCK,
            step,
            (0, z, results, adaptation, arrays),
            maximum_iterations=_BLOCK,
        )
        return place(z), adaptation, [array.stack() for array in arrays]


def _first_adaptation(count: int) -> _Adaptation:
    log_step = tf.fill((count, 1, 1), np.float32(np.log(_FIRST_STEP)))
    zero = tf.zeros((count, 1, 1))
    return _Adaptation(log_step + np.log(10.0), zero, log_step, zero, tf.constant(0.0))


def _root(vectors: np.ndarray) -> tf.Tensor:
    """Return a root (n, d, d) of the covariance within chains of draws (n, chains, draws, d)."""
    offset = vectors.astype(np.float64) - vectors.mean(axis=2, keepdims=True)
    count = vectors.shape[1] * (vectors.shape[2] - 1)
    covariance = np.einsum("nckd,ncke->nde", offset, offset) / count
    variance = np.maximum(np.einsum("ndd->nd", covariance), _SMALLEST_SD**2)
    diagonal = variance[:, :, None] * np.eye(variance.shape[1])
    shrunk = (count * covariance + _PRIOR_DRAWS * diagonal) / (count + _PRIOR_DRAWS)
    return tf.constant(np.linalg.cholesky(shrunk + 1e-6 * diagonal), tf.float32)


#: Larger R-hat, and fewer independent draws, are warned of. Of 250 draws a chain, R-hat of one data
#: set in some tens is above 1.01 by chance.
MOST_R_HAT = 1.02
STATISTICS = ("r_hat", "ess_bulk", "ess_tail")
# Quantiles whose effective sample size is that of the tails.
_TAILS = (0.05, 0.95)


class Convergence(NamedTuple):
    """Statistics of each parameter (3, n_obs, *event), in the order of ``STATISTICS``."""

    values: Mapping[str, np.ndarray]
    #: Share of steps (n_obs,) that diverged.
    diverged: np.ndarray

    @classmethod
    def measure(cls, draws: Mapping[str, np.ndarray], diverged: np.ndarray) -> Convergence:
        """Measure on draws (n_obs, chains, draws, *event), and divergences (n_obs, chains, draws).

        R-hat is rank-normalised and split, as in Vehtari et al. (2021), arXiv:1903.08008.
        """
        from arviz_stats.base.array import array_stats

        values = {}
        for name, value in draws.items():
            # Chains and draws last; each element by itself.
            rows = np.moveaxis(value.astype(np.float64), (1, 2), (-2, -1))
            flat = rows.reshape(-1, *rows.shape[-2:])
            # Chains start at draws of their own: what all have in common, such as the zeros of a
            # triangular matrix, the prior fixes.
            equal = (np.ptp(rows, axis=(0, -2, -1)) == 0.0) & (value.shape[1] > 1)
            fixed = np.broadcast_to(equal, rows.shape[:-2])
            size = value.shape[1] * value.shape[2]
            # Chains that stand still have no variance to divide by.
            with np.errstate(invalid="ignore", divide="ignore"):
                statistics = [
                    [1.0, size, size]
                    if same
                    else [
                        array_stats.rhat(row, chain_axis=0, draw_axis=1),
                        array_stats.ess(row, chain_axis=0, draw_axis=1, method="bulk"),
                        array_stats.ess(row, chain_axis=0, draw_axis=1, method="tail", prob=_TAILS),
                    ]
                    for row, same in zip(flat, fixed.ravel(), strict=True)
                ]
            values[name] = np.asarray(statistics, float).T.reshape(
                len(STATISTICS), *rows.shape[:-2]
            )
        return cls(values, diverged.mean(axis=(1, 2)))

    def extremes(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return the largest R-hat and the smallest effective size of each number, by name.

        They are NaN if a chain of any observation has no variance, or a draw that is not finite.
        """
        worst = {name: float(np.max(numbers)) for name, numbers in self._columns("r_hat").items()}
        sizes = self._columns("ess_bulk")
        return worst, {name: float(np.min(numbers)) for name, numbers in sizes.items()}

    def extreme(self) -> tuple[float, float]:
        """Return the largest R-hat and the smallest effective size of all numbers."""
        worst, fewest = self.extremes()
        # Not max(), which ignores NaN unless it comes first.
        return float(np.max(list(worst.values()))), float(np.min(list(fewest.values())))

    def warn(self, observations: str) -> None:
        """Warn of chains that disagree, or that hold few independent draws."""
        worst, fewest = self.extremes()
        bad = [column for column, value in worst.items() if not value <= MOST_R_HAT]
        few = [column for column, value in fewest.items() if not value >= FEWEST_DRAWS]
        if not bad and not few:
            return
        faults = [f"R-hat of {column} {worst[column]:.3g}" for column in bad]
        faults += [f"{fewest[column]:.0f} independent draws of {column}" for column in few]
        warn(
            f"Chains of the posterior of {observations} have not converged: {', '.join(faults)}; "
            f"expected R-hat up to {MOST_R_HAT}, {FEWEST_DRAWS:.0f} draws. Ask for more draws; "
            "chains that stay in modes of their own, whose weights are then unknown, don't "
            "converge.",
        )

    def _columns(self, statistic: str) -> dict[str, np.ndarray]:
        number = STATISTICS.index(statistic)
        return columns({name: value[number] for name, value in self.values.items()}, 1)

    def tree(self, simulator: Simulator, batched: bool) -> xarray.DataTree:
        """Return all statistics by parameter, along a dimension ``statistic``."""
        import xarray

        leading = ["statistic", *["observation"] * batched]
        variables = {
            name: ([*leading, *simulator.dimensions[name]], value if batched else value[:, 0])
            for name, value in self.values.items()
        }
        data = xarray.Dataset(variables, {"statistic": list(STATISTICS)})
        share = self.diverged if batched else self.diverged[0]
        data["diverged"] = xarray.DataArray(share, dims=leading[1:])
        return xarray.DataTree(data)
