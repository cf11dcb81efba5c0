"""What the stages of the case study share: posteriors, folders, seeds, and statistics of draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from train import FOLDERS, HERE

import bayesinn as bi

Arrays = Mapping[str, np.ndarray]

SEED = 1
# The network of the states does not fit the model: its populations differ.
LABELS = {
    "covid19": "ours, with a fit of the model",
    "covid19_regular": "ours, with a fit, regular noise",
    "covid19_states": "ours, states, simulations only",
}
_GRID = 1_000
_MOST_DRAWS_OF_MODE = 10_000


@dataclass
class Study:
    """Where results go, how large the stages are, and the trained posteriors.

    Parameters
    ----------
    target : folder that results are written to
    quick : bool
    data : folder with the counts of the federal states, or None
    jobs : int, processes for exact sampling
    trained : dict of simulator's name to posterior, in place of those that are saved
    """

    target: Path
    quick: bool
    data: Path | None = None
    jobs: int = 1
    trained: dict[str, bi.AmortizedPosterior] = field(default_factory=dict)

    def posterior(self, name: str) -> bi.AmortizedPosterior | None:
        """The trained posterior of a simulator; None, with a message, if there is none."""
        if (
            name not in self.trained
            and not self.quick
            and (HERE / FOLDERS[name] / "manifest.json").is_file()
        ):
            self.trained[name] = bi.load(HERE / FOLDERS[name])
        if name not in self.trained:
            print(f"  no posterior of {name}: run train.py {name} first")
        return self.trained.get(name)

    def posteriors(self, *names: str) -> dict[str, bi.AmortizedPosterior]:
        """Those of several simulators that are trained."""
        found = {name: self.posterior(name) for name in names}
        return {name: posterior for name, posterior in found.items() if posterior is not None}

    def size(self, full: int, quick: int) -> int:
        """A number of draws, data sets or days."""
        return quick if self.quick else full

    def write(self, table: pd.DataFrame, name: str) -> None:
        """Write a table into the folder of results, and show it."""
        table.to_csv(self.target / f"{name}.csv", index=False, float_format="%.5g")
        print(
            table.to_string(index=False, float_format=lambda value: f"{value:.4g}"),
            end="\n\n",
            flush=True,
        )


def mode(values: np.ndarray) -> float:
    """Mode of a Gaussian kernel density, bandwidth 1.06 sd n^(-1/5), on a fine grid.

    It is that of the first 10,000 draws.

    The published MAP is the same but for the grid, in place of which it takes the draws themselves.
    """
    values = np.asarray(values[:_MOST_DRAWS_OF_MODE], np.float64)
    width = 1.06 * values.std() * len(values) ** -0.2
    grid = np.linspace(*np.quantile(values, [0.001, 0.999]), _GRID)
    density = np.exp(-0.5 * ((grid[:, None] - values) / width) ** 2).sum(axis=1)
    return float(grid[np.argmax(density)])


def largest_differences(draws: Arrays, reference: Arrays) -> pd.Series:
    """Kolmogorov-Smirnov statistic of each parameter: largest difference between two ECDFs."""
    result = {
        name: stats.ks_2samp(draws[name], values, method="asymp").statistic
        for name, values in reference.items()
    }
    return pd.Series(result, name="ks")
