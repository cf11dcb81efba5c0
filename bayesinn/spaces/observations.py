"""Observations are checked before anything is computed from them: names, shapes, numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.simulation.finite import finite, over_all_channels, padding
from bayesinn.simulation.simulator import Arrays, Simulator


@dataclass(frozen=True)
class Observations:
    """Checked data.

    Attributes
    ----------
    arrays : dict of name to array (n, ...), observables and context, padded where lengths vary
    count : int, n
    batched : bool
        False when a single observation came without a batch axis; results then have none either.
    """

    arrays: dict[str, np.ndarray]
    count: int
    batched: bool


def check_observations(simulator: Simulator, data: Mapping[str, Any]) -> Observations:
    """Check data against what the simulator declares.

    Parameters
    ----------
    simulator : Simulator
    data : dict of name to array
        Observables and context, all with or all without a batch axis. An observable of varying length may be
        shorter than its padded length; its count may then be left out.

    Raises
    ------
    InputError
        For missing or unknown names, wrong shapes, text, NaN or infinity.
    """
    shapes = dict(simulator.observable_shapes)
    if simulator.context is not None:
        shapes.update(simulator.context.event_shapes)
    if not isinstance(data, Mapping):
        raise InputError(
            "Data",
            expected=f"a dict with {list(shapes)}",
            got=type(data).__name__,
            do=f"write for example {{{next(iter(shapes))!r}: values}}",
        )
    _check_names(simulator, data, shapes)
    arrays = {name: _numeric(name, value) for name, value in data.items()}
    batched = _is_batched(simulator, arrays, shapes)
    if not batched:
        arrays = {name: value[None] for name, value in arrays.items()}
    counts = {len(value) for value in arrays.values()}
    if len(counts) > 1:
        raise InputError(
            "Data",
            expected="the same number of observations under each name",
            got=", ".join(f"{name}: {len(value)}" for name, value in arrays.items()),
            do="give one row of each for each observation",
        )
    for observable, count in simulator.lengths.items():
        _pad(arrays, observable, count, shapes[observable][0])
    for name, value in arrays.items():
        _check_shape(name, value, shapes[name])
        beyond = padding(value, arrays[simulator.lengths[name]]) if name in simulator.lengths else None
        _check_finite(name, value, beyond)
    return Observations({name: arrays[name] for name in shapes}, counts.pop(), batched)


def _check_names(simulator: Simulator, data: Mapping[str, Any], shapes: Mapping[str, Any]) -> None:
    optional = {count for observable, count in simulator.lengths.items() if observable in data}
    missing = [name for name in shapes if name not in data and name not in optional]
    unknown = [name for name in data if name not in shapes]
    if missing or unknown:
        raise InputError(
            f"Data for simulator {simulator.name!r}",
            expected=f"the names {list(shapes)}",
            got=f"{list(data)}"
            + (f": {missing} missing" if missing else "")
            + (f": {unknown} unknown" * bool(unknown)),
            do="use the names that the simulator returns and that its context declares",
        )


def _numeric(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"Data {name!r}", expected="a rectangular array", got=str(error), do="pad the rows") from error
    if array.dtype.kind not in "fiub" or array.size == 0:
        raise InputError(
            f"Data {name!r}",
            expected="real numbers",
            got="an empty array" if array.size == 0 else f"dtype {array.dtype}",
            do="convert it with numpy.asarray(values, float)",
        )
    return array


def _is_batched(simulator: Simulator, arrays: Mapping[str, np.ndarray], shapes: Mapping[str, Any]) -> bool:
    """All names must agree; the first that does not is named."""
    batched: bool | None = None
    for name, value in arrays.items():
        extra = value.ndim - len(shapes[name])
        if extra not in (0, 1) or (batched is not None and batched != bool(extra)):
            _raise_shape(name, value.shape, shapes[name])
        batched = bool(extra)
    assert batched is not None
    return batched


def _pad(arrays: dict[str, np.ndarray], observable: str, count: str, steps: int) -> None:
    value = arrays[observable]
    if count not in arrays:
        arrays[count] = np.full(len(value), value.shape[1])
    if value.shape[1] < steps:
        missing = [(0, 0)] * value.ndim
        missing[1] = (0, steps - value.shape[1])
        arrays[observable] = np.pad(value, missing)
    counts = arrays[count]
    if np.any(counts < 0) or np.any(counts > min(value.shape[1], steps)):
        raise InputError(
            f"Data {count!r}, the number of valid steps of {observable!r}",
            expected=f"0 to {min(value.shape[1], steps)}",
            got=f"{counts.min()} to {counts.max()}",
            do="count the steps that are there; the simulator declares how many there can be",
        )


def _check_shape(name: str, value: np.ndarray, shape: tuple[int, ...]) -> None:
    if value.shape[1:] != tuple(shape):
        _raise_shape(name, value.shape, shape)


def _raise_shape(name: str, got: tuple[int, ...], shape: tuple[int, ...]) -> None:
    raise InputError(
        f"Data {name!r}",
        expected=f"shape {shape} for one observation, or (n, {', '.join(map(str, shape))}) for n, as for all names",
        got=f"shape {got}",
        do="reshape it, or train with a simulator that returns this shape",
    )


def _check_finite(name: str, value: np.ndarray, beyond: np.ndarray | None) -> None:
    broken = ~finite(value)
    if beyond is not None:
        broken &= ~over_all_channels(beyond, value)
    if broken.any():
        where = np.argwhere(broken)[0]
        raise InputError(
            f"Data {name!r}",
            expected="finite numbers",
            got=f"{int(broken.sum())} NaN or infinite, the first in observation {where[0]}, index {where[1:].tolist()}",
            do="fill or drop missing values the way the simulator does; a posterior given NaN would be meaningless",
        )


def check_parameters(
    simulator: Simulator, parameters: Mapping[str, Any], observations: Observations
) -> tuple[Arrays, tuple[int, ...]]:
    """Parameters as (n_obs, draws, *event), and the shape (n_obs[, draws]) of the answer."""
    values, shapes = {}, set()
    for name in simulator.prior.names:
        if name not in parameters:
            raise InputError(
                "Parameters", expected=f"{list(simulator.prior.names)}", got=f"{list(parameters)}", do=f"add {name!r}"
            )
        value = np.asarray(parameters[name])
        value = value if observations.batched else value[None]
        event = simulator.prior.event_shapes[name]
        batch = value.shape[: value.ndim - len(event)]
        if value.shape[len(batch) :] != event or len(batch) not in (1, 2) or batch[0] != observations.count:
            rows = f"{observations.count}, " if observations.batched else ""
            raise InputError(
                f"Parameter {name!r}",
                expected=f"shape ({rows}draws, *{event}) or ({rows}*{event})",
                got=f"shape {np.shape(parameters[name])}",
                do="give one row for each observation, or one draw axis as sample() returns",
            )
        shapes.add(batch)
        values[name] = value.reshape(batch[0], -1, *event)
    if len(shapes) > 1:
        raise InputError("Parameters", expected="equal numbers of draws", got=f"{sorted(shapes)}", do="reshape them")
    return values, shapes.pop()
