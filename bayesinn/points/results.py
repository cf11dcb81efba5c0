"""Estimates with names, labels, units and coordinates, and what they are worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bayesinn._version import __version__
from bayesinn.core.labels import columns
from bayesinn.points.estimates import Result
from bayesinn.simulation.simulator import Arrays, Simulator

if TYPE_CHECKING:
    import pandas as pd
    import xarray


def estimates_tree(
    simulator: Simulator, results: Mapping[str, Result], p_value: np.ndarray, batched: bool
) -> xarray.DataTree:
    """Return a group for each result, and ``sample_stats`` with p-values (n,) of observations."""
    import xarray

    observation = ["observation"] if batched else []
    stats = Result({"out_of_distribution_p": np.asarray(p_value)}, by_parameter=False)
    groups = {}
    for group, result in {**results, "sample_stats": stats}.items():
        variables = {}
        # A variable may not have the name of an axis.
        axes = {
            f"{name}_" if name in result.values else name: list(places)
            for name, places in result.axes.items()
        }
        for name, value in result.values.items():
            own = []
            texts = {"long_name": name}
            if result.by_parameter and name in simulator.prior.names:
                own = simulator.dimensions[name]
                labels = simulator.labels
                texts = {"long_name": labels.label(name), "units": labels.unit(name)}
            variables[name] = xarray.DataArray(
                value if batched else value[0], dims=[*observation, *axes, *own], attrs=texts
            )
        groups[group] = xarray.Dataset(variables, axes)
    tree = xarray.DataTree.from_dict(groups)
    tree.attrs.update(simulator=simulator.name)
    tree.attrs.update(creation_library="bayesinn", creation_library_version=__version__)
    return tree


def calibration_table(results: Mapping[str, Result], truth: Arrays) -> pd.DataFrame:
    """Return how good results are for true parameters (n, *event); a row for each number."""
    import pandas as pd

    known = columns(truth, 1)
    table = {}
    if "mean" in results:
        mean = columns(results["mean"].values, 1)
        residual = {name: value - mean[name] for name, value in known.items()}
        table["explained"] = {
            name: 1.0 - np.mean(value**2) / np.var(known[name]) for name, value in residual.items()
        }
    if {"mean", "standard_deviation"} <= results.keys():
        sd = columns(results["standard_deviation"].values, 1)
        table["z_mean"] = {name: np.mean(value / sd[name]) for name, value in residual.items()}
        table["z_sd"] = {name: np.std(value / sd[name]) for name, value in residual.items()}
    if "quantiles" in results:
        quantiles = columns(results["quantiles"].values, 2)
        for number, level in enumerate(results["quantiles"].axes["level"]):
            table[f"below {level:g}"] = {
                name: _share_below(value, quantiles[name][:, number], level)
                for name, value in known.items()
            }
    return pd.DataFrame(table)


def _share_below(truth: np.ndarray, quantile: np.ndarray, level: float) -> float:
    """Return the share of true values (n,) below quantiles (n,).

    Values equal to their quantile, as integers may be, count as far as the level asks for: a
    correct quantile has at most its level below it, and at most the rest above.
    """
    return float(np.clip(level, np.mean(truth < quantile), np.mean(truth <= quantile)))
