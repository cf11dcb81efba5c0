"""Comparison of models on the command line: train, say how well calibrated, answer; ask again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bayesinn.cli.data_files import names_of
from bayesinn.cli.networks import named_summary
from bayesinn.comparison.comparison import ModelComparison
from bayesinn.core.errors import InputError
from bayesinn.core.files import prepare_place
from bayesinn.estimators.loading import load
from bayesinn.posterior.typicality import FLAG_LEVEL
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import check_observations

_CALIBRATION = 5_000


class _Observed(NamedTuple):
    arrays: Mapping[str, Any]
    index: pd.Index


def compare_models(
    simulators: Sequence[Simulator],
    data: Mapping[str, Any] | None,
    summary: list[str],
    weights: Sequence[float] | None,
    simulations: int,
    steps: int | None,
    seed: int,
    folder: Path | None,
) -> Iterator[str]:
    """Train and save; yield what is printed: calibration and answers first, as saving may fail."""
    comparison = ModelComparison(list(simulators), named_summary(summary), weights)
    # Wrong data and places are refused before the training.
    observed = _observed(comparison, data)
    if folder is not None:
        prepare_place(folder)
    comparison.fit(comparison.simulate(simulations, seed), steps=steps, seed=seed)
    yield f"{comparison.calibration(_CALIBRATION, seed)!r}\n\n{_answers(comparison, observed)}"
    if folder is not None:
        yield f"saved {comparison.save(folder)}"


def ask_saved(
    folder: Path,
    simulators: Sequence[Simulator],
    read: Callable[[Simulator], Mapping[str, Any] | None],
    trust: bool,
) -> str:
    """Return what a saved comparison answers; ``read`` gets the observations of its first model."""
    comparison = load(folder, list(simulators) or None, trust)
    if not isinstance(comparison, ModelComparison):
        raise InputError(
            f"Folder {str(folder)!r}",
            expected="a comparison of models, which bayesinn models --output writes",
            got=f"{type(comparison).__name__}",
            do=f"bayesinn infer {folder} asks a posterior",
        )
    return _answers(comparison, _observed(comparison, read(comparison.simulators[0])))


def _observed(comparison: ModelComparison, data: Mapping[str, Any] | None) -> _Observed:
    """Return observations, by default what ships with the first model, and their names."""
    first = comparison.simulators[0]
    given = first.observed if data is None else data
    if given is None:
        raise InputError(
            "Observation",
            expected=f"one, as none ships with {first.name!r}",
            got="none",
            do="pass --data FILE",
        )
    observations = check_observations(first, given)
    names, by = names_of(data)
    index = pd.Index(names or np.arange(observations.count), name=by)
    return _Observed(observations.arrays, index)


def _answers(comparison: ModelComparison, observed: _Observed) -> str:
    """Write probabilities, Bayes factors and the p-value of each observation."""
    found = comparison.probabilities(observed.arrays)
    factors = comparison.log_bayes_factors(observed.arrays)
    p_values = np.atleast_1d(np.asarray(found.p_value))
    columns = {f"P({name})": np.atleast_1d(value) for name, value in found.items()}
    for name in comparison.names[1:]:
        heading = f"log BF of {name} to {comparison.names[0]}"
        columns[heading] = np.atleast_1d(factors[name])
    table = pd.DataFrame({**columns, "p": p_values}, index=observed.index)
    lines = [
        table.to_string(float_format=lambda value: f"{value:.4g}"),
        "p: how typical the observation is of the simulations of all models",
    ]
    flagged = int(np.sum(p_values < FLAG_LEVEL))
    if flagged:
        lines.append(
            f"WARNING: {flagged} of {len(p_values)} are out of distribution: no model makes such "
            "data, and their probabilities mean nothing"
        )
    return "\n".join(lines)
