"""Comparison of models on the command line: train, say how well calibrated, answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesinn.cli.data_files import names_of
from bayesinn.cli.networks import named_summary
from bayesinn.comparison.comparison import ModelComparison
from bayesinn.core.errors import InputError
from bayesinn.posterior.typicality import FLAG_LEVEL
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import check_observations

_CALIBRATION = 5_000


def compare_models(
    simulators: Sequence[Simulator],
    data: Mapping[str, Any] | None,
    summary: list[str],
    simulations: int,
    steps: int | None,
    seed: int,
    folder: Path | None,
) -> str:
    """Train, and return what is printed: calibration, and the answer to each observation."""
    comparison = ModelComparison(list(simulators), named_summary(summary))
    given = simulators[0].observed if data is None else data
    if given is None:
        raise InputError(
            "Observation",
            expected=f"one, as none ships with {simulators[0].name!r}",
            got="none",
            do="pass --data FILE",
        )
    observations = check_observations(simulators[0], given)
    comparison.fit(comparison.simulate(simulations, seed), steps=steps, seed=seed)
    lines = [repr(comparison.calibration(_CALIBRATION, seed)), ""]
    found = comparison.probabilities(observations.arrays)
    factors = comparison.log_bayes_factors(observations.arrays)
    names, by = names_of(data)
    p_values = np.atleast_1d(np.asarray(found.p_value))
    table = pd.DataFrame(
        {
            **{f"P({name})": np.atleast_1d(value) for name, value in found.items()},
            **{
                f"log BF of {name} to {comparison.names[0]}": np.atleast_1d(factors[name])
                for name in comparison.names[1:]
            },
            "p": p_values,
        },
        index=pd.Index(names or np.arange(observations.count), name=by),
    )
    lines.append(table.to_string(float_format=lambda value: f"{value:.4g}"))
    lines.append("p: how typical the observation is of the simulations of all models")
    flagged = int(np.sum(p_values < FLAG_LEVEL))
    if flagged:
        lines.append(
            f"WARNING: {flagged} of {len(p_values)} are out of distribution: no model makes such "
            "data, and their probabilities mean nothing"
        )
    if folder is not None:
        lines.append(f"saved {comparison.save(folder)}")
    return "\n".join(lines)
