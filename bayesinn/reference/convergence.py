"""Whether chains have converged: R-hat and effective sample sizes, and a warning where not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayesinn.core.labels import columns
from bayesinn.core.warning import warn

if TYPE_CHECKING:
    import xarray

    from bayesinn.simulation.simulator import Simulator

#: Larger R-hat, and fewer independent draws, are warned of. Of 250 draws a chain, R-hat of one data
#: set in some tens is above 1.01 by chance.
MOST_R_HAT = 1.02
FEWEST_DRAWS = 100.0
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
        import arviz as az

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
                found = [
                    [1.0, size, size]
                    if same
                    else [
                        az.rhat(row, chain_axis=0, draw_axis=1),
                        az.ess(row, chain_axis=0, draw_axis=1, method="bulk"),
                        az.ess(row, chain_axis=0, draw_axis=1, method="tail", prob=_TAILS),
                    ]
                    for row, same in zip(flat, fixed.ravel(), strict=True)
                ]
            values[name] = np.asarray(found, float).T.reshape(len(STATISTICS), *rows.shape[:-2])
        return cls(values, diverged.mean(axis=(1, 2)))

    def extremes(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return the largest R-hat and the smallest effective size of each number, by name.

        They are NaN if a chain of any observation has no variance, or a draw that is not finite.
        """
        worst = {name: float(np.max(found)) for name, found in self._columns("r_hat").items()}
        sizes = self._columns("ess_bulk")
        return worst, {name: float(np.min(found)) for name, found in sizes.items()}

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
        found = [f"R-hat of {column} {worst[column]:.3g}" for column in bad]
        found += [f"{fewest[column]:.0f} independent draws of {column}" for column in few]
        warn(
            f"Chains of the posterior of {observations} have not converged: {', '.join(found)}; "
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
