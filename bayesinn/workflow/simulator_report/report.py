"""Look at a simulator before training: draw from it, experiment with it, and say what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.core.labels import columns
from bayesinn.core.seeds import check_seed
from bayesinn.simulation.simulations import Simulations
from bayesinn.simulation.simulator import Simulator
from bayesinn.workflow.simulator_report.draws import draw
from bayesinn.workflow.simulator_report.failures import failures
from bayesinn.workflow.simulator_report.influence import associations
from bayesinn.workflow.simulator_report.outputs import copies, repeats
from bayesinn.workflow.simulator_report.probes import Noise, probe_noise, probe_rows, responds
from bayesinn.workflow.simulator_report.ranges import ranges, scales
from bayesinn.workflow.simulator_report.regions import regions
from bayesinn.workflow.simulator_report.result import SimulatorReport
from bayesinn.workflow.simulator_report.values import Values, values

_FEWEST_SIMULATIONS = 50
_FEWEST_GOOD = 20
_ASSOCIATED = 0.01


def simulator_report(
    simulator: Simulator, *, simulations: int = 2_000, seed: int = 0, batch_size: int = 256
) -> SimulatorReport:
    """See in seconds whether a simulator is fit to train on, and what to change.

    Measures its speed; counts simulations that are not finite, before any policy replaces them, and finds where in
    parameter space they come from; shows what prior and prior predictive distribution range over; looks for constant,
    copied and repeated outputs, for noise that ignores the seed or is shared by a batch, for values that float32 or
    the library's scaling can't hold, and for parameters that nothing depends on.

    Parameters
    ----------
    simulator : Simulator
    simulations : int
        At least 50. Some more are drawn to time it and to experiment.
    seed : int
    batch_size : int
        That of training.

    Returns
    -------
    SimulatorReport
        Its repr is the report; ``ok`` is whether there is no problem.

    Raises
    ------
    InputError
        For arguments that don't fit.
    SimulatorError
        When the simulator itself raises.

    Examples
    --------
    >>> import bayesinn as bi
    >>> report = simulator_report(bi.get("linear"), simulations=500)
    >>> report.ok, report.advice, report.ranges.loc["y", "kind"]
    (True, (), 'observable')
    """
    _check(simulator, simulations, batch_size)
    drawn, speed = draw(simulator, int(simulations), check_seed(seed), int(batch_size))
    given = columns({**drawn.parameters, **drawn.context}, batch_ndim=1)
    parameters = {name: given[name] for name in columns(drawn.parameters, batch_ndim=1)}
    labels = simulator.labels
    units = {name: labels.unit(name) for name in given}
    failed = failures(given, drawn.observables, drawn.context, simulator.lengths, units)
    observables = values(drawn.observables, drawn.context, simulator.lengths)
    good = ~failed.marked
    enough = np.count_nonzero(good) >= _FEWEST_GOOD
    again = repeats(observables, good)
    rows = len(again.marked)
    sound = tuple(replace(value, matrix=value.matrix[good[: len(value.matrix)]]) for value in observables)
    sound_draws = Simulations(_rows(drawn.parameters, good), _rows(drawn.context, good), {}, 0)
    noise = probe_noise(simulator, sound_draws.parameters, sound_draws.context, int(seed)) if enough else Noise()
    found = associations({name: value[good] for name, value in parameters.items()}, sound) if enough else {}
    dtypes = {name: value.dtype for name, value in drawn.flat().items()}
    return SimulatorReport(
        name=simulator.name,
        labels=labels,
        simulations=int(simulations),
        seed=int(seed),
        batch_size=int(batch_size),
        in_graph=simulator.in_graph,
        on_nonfinite=simulator.on_nonfinite,
        speed=speed,
        failures=failed,
        ranges=ranges(drawn.parameters, drawn.context, observables, dtypes, labels),
        observables=observables,
        observed=_observed(simulator, observables),
        scales=scales(observables, drawn.observables, drawn.context, simulator.lengths, good),
        copies=copies(sound, int(seed)) if enough else (),
        repeats=again,
        repeat_regions=regions({name: value[:rows] for name, value in given.items()}, again.marked, units),
        noise=noise,
        associations=found,
        # Random numbers that change by themselves would pass for an effect.
        responses={} if noise.irreproducible else _responses(simulator, sound_draws, found, int(seed)),
    )


def _responses(
    simulator: Simulator, drawn: Simulations, found: Mapping[str, float], seed: int
) -> dict[str, bool | None]:
    """Ask the simulator itself about parameters that correlations say nothing about."""
    answers = {}
    for name, value in drawn.parameters.items():
        for index, column in zip(np.ndindex(value.shape[1:]), columns({name: value}, batch_ndim=1), strict=True):
            if found.get(column, 0.0) >= _ASSOCIATED and probe_rows(len(value)):
                answers[column] = responds(simulator, drawn.parameters, drawn.context, name, index, seed)
    return answers


def _observed(simulator: Simulator, observables: tuple[Values, ...]) -> dict[str, np.ndarray]:
    """Real data that ship with the simulator, padded with NaN to the shape of a simulation."""
    found = {}
    for value in observables:
        data = (simulator.observed or {}).get(value.name)
        if data is None or data.ndim != len(value.shape) or any(np.greater(data.shape, value.shape)):
            continue
        padded = np.full(value.shape, np.nan)
        padded[tuple(slice(0, size) for size in data.shape)] = data
        found[value.name] = padded
    return found


def _rows(part: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: value[rows] for name, value in part.items()}


def _check(simulator: Simulator, simulations: int, batch_size: int) -> None:
    if not isinstance(simulator, Simulator):
        raise InputError(
            "Simulator report",
            expected="a Simulator",
            got=type(simulator).__name__,
            do="decorate the function with @bi.simulator, or get one with bi.get(name)",
        )
    for name, value, least in (("simulations", simulations, _FEWEST_SIMULATIONS), ("batch_size", batch_size, 1)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise InputError(
                f"Argument {name!r}", expected=f"an integer of at least {least}", got=repr(value), do=f"change {name}"
            )
