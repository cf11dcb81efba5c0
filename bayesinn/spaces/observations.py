"""The check of observations before anything is computed: names, shapes, numbers, support.

Observations are checked here and nowhere else. Context must lie inside its support.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from bayesinn.core.arrays import MISSING_VALUES, broadcast_mask, numbers, padding
from bayesinn.core.errors import InputError, warn
from bayesinn.simulation.checks import (
    check_inputs,
    check_keys,
    finite,
    may_miss,
)
from bayesinn.simulation.prior import Prior, outside
from bayesinn.simulation.simulations import count_rows
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.parameters import ParameterSpace


@dataclass(frozen=True)
class Observations:
    """Checked observables and context (n, ...) of ``count`` observations, padded if lengths vary.

    Where a single one came without a batch axis, ``batched`` is False, and results have none
    either: see :meth:`like_data`.
    """

    arrays: Arrays
    count: int
    batched: bool

    def row(self, index: int = 0) -> Arrays:
        """Return one observation by name, arrays (...)."""
        return {name: value[index] for name, value in self.arrays.items()}

    def like_data(self, answer: np.ndarray) -> np.ndarray:
        """Return an answer (n, ...), without its first axis if the data had none."""
        return answer if self.batched else answer[0]

    def all_like_data(self, answers: Mapping[str, np.ndarray]) -> Arrays:
        """Return what :meth:`like_data` does of each answer (n, ...) by name."""
        return {name: self.like_data(answer) for name, answer in answers.items()}


def data_shapes(simulator: Simulator) -> dict[str, tuple[int, ...]]:
    """Return the shapes (...) of one observation: observables, then context."""
    return {**simulator.shapes["observables"], **simulator.shapes["context"]}


def check_observations(
    simulator: Simulator,
    data: Mapping[str, Any] | Observations,
    call: Callable[[int], str] = "observation {}".format,
) -> Observations:
    """Check observables and context, all with or all without batch axis, against the declaration.

    An observable of varying length may be shorter than its padded length; its count may then be
    left out. So may those of a list of rows of several lengths, which are padded. Where values may
    be missing, lists inside may be short, too. ``call`` names an observation in messages.
    """
    if isinstance(data, Observations):
        return data
    shapes = data_shapes(simulator)
    # A table is refused, but told what it lacks.
    given = data if isinstance(data, Mapping) else getattr(data, "columns", ())
    optional = {count for observable, count in simulator.lengths.items() if observable in given}
    check_keys(
        f"Data for simulator {simulator.name!r}",
        data,
        [key for key in shapes if key not in optional],
        shapes,
    )
    counted = [name for name in simulator.lengths.values() if name in given]
    data = _fill_ragged(simulator, data, shapes)
    arrays = {
        name: numbers(f"Data {name!r}", data[name], missing=may_miss(simulator, name))
        for name in shapes
        if name in data
    }
    batched = statistics.mode(value.ndim > len(shapes[name]) for name, value in arrays.items())
    for name, value in arrays.items():
        _check_shape(name, value.shape, shapes[name], batched, name in simulator.lengths)
    if not batched:
        arrays = {name: value[None] for name, value in arrays.items()}
    rows = {name: len(value) for name, value in arrays.items()}
    if len(set(rows.values())) > 1:
        raise InputError(
            "Data",
            expected="the same number of observations under each name",
            got=", ".join(f"{k}: {n}" for k, n in rows.items()),
            do="give one row of each for each observation",
        )
    _check_common_steps(simulator, arrays, counted)
    for observable, count in simulator.lengths.items():
        _pad(arrays, observable, count, shapes[observable][0])
    for name, value in arrays.items():
        counter = simulator.lengths.get(name, "")
        do = MISSING_VALUES
        if name in simulator.context_names:
            do = "give its value"
            if name in simulator.per_trial:
                do += "; of a trial that is missing, any that the simulator may get"
        if counter and counter not in counted:
            do += f", or give {counter!r}, the number of valid steps"
        _check_finite(name, value, arrays.get(counter), may_miss(simulator, name), call, do)
    if simulator.context is not None:
        check_context(simulator, simulator.context, arrays, call)
    return Observations({name: arrays[name] for name in shapes}, count_rows(arrays), batched)


def check_one_observation(simulator: Simulator, data: Mapping[str, Any]) -> Observations:
    """Check observables and context as :func:`check_observations` does; refuse several."""
    checked = check_observations(simulator, data)
    if checked.count > 1:
        raise InputError(
            "Data",
            expected="one observation",
            got=f"{checked.count} observations",
            do="call once for each of them",
        )
    return checked


def refuse_batch(observations: Observations, subject: str, do: str) -> None:
    """Refuse data with a batch axis, where one observation is asked about."""
    if observations.batched:
        raise InputError(
            subject,
            expected="one observation, without batch axis",
            got=f"{observations.count} observations",
            do=do,
        )


def _fill_ragged(
    simulator: Simulator, data: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Any]:
    """Return data with ragged lists padded with NaN to the declared shape, and rows counted."""
    filled = dict(data)
    for name in simulator.observable_shapes:
        value = filled.get(name)
        counter = simulator.lengths.get(name)
        if not isinstance(value, list | tuple) or not _is_ragged(value):
            continue
        if counter is None and simulator.missing is None:
            continue  # refused as what it is
        batched = axes(value) > len(shapes[name])
        array = np.full((len(value), *shapes[name]) if batched else shapes[name], np.nan)
        _fill(f"Data {name!r}", array, value)
        if counter is not None:
            count = [len(row) for row in value] if batched else len(value)
            if counter in data:
                filled[name] = array
                continue
            known = filled.setdefault(counter, np.asarray(count))
            if not np.array_equal(known, count):
                raise _other_steps(counter, f"{known.tolist()}, and {count} of {name!r}")
        filled[name] = array
    return filled


def _is_ragged(value: Any) -> bool:
    try:
        np.asarray(value)
    except ValueError:
        return True
    return False


def axes(value: Any) -> int:
    """Return the number of axes of an array, or of nested lists, which may be ragged."""
    return (
        1 + max(map(axes, value), default=0) if isinstance(value, list | tuple) else np.ndim(value)
    )


def _fill(subject: str, array: np.ndarray, value: Any) -> None:
    """Write nested lists into an array that is as large or larger."""
    size = len(value) if axes(value) else -1
    if array.ndim == 0 or not 0 <= size <= len(array):
        raise InputError(
            subject,
            expected=f"lists of at most {len(array)}",
            got=f"one of {size}" if size >= 0 else repr(value),
            do="train with a simulator that returns this shape, or shorten it",
        )
    if array.ndim == 1 and size:
        row = numbers(subject, value, missing=True)
        if row.ndim > 1:
            raise InputError(
                subject, expected="numbers in the inmost lists", got=repr(value), do="flatten them"
            )
        array[:size] = row
        return
    parts = value if isinstance(value, list | tuple) else np.asarray(value)
    for place, part in zip(array, parts, strict=False):
        _fill(subject, place, part)


def _check_shape(
    name: str, got: tuple[int, ...], shape: tuple[int, ...], batched: bool, may_be_shorter: bool
) -> None:
    if batched and got == shape:
        raise InputError(
            f"Data {name!r}",
            expected="one value for each observation, as for all names",
            got=f"shape {got}",
            do="repeat it: numpy.stack([value] * n)",
        )
    one = got[batched:]
    shorter = (
        may_be_shorter and len(one) == len(shape) and one[0] <= shape[0] and one[1:] == shape[1:]
    )
    if one != shape and not shorter:
        several = f"(n, {', '.join(map(str, shape))})" if shape else "(n,)"
        raise InputError(
            f"Data {name!r}",
            expected=f"shape {shape} for one observation, or {several} for n, as for all names",
            got=f"shape {got}",
            do="reshape it (table['name'].to_numpy() for a column), or train with a simulator that "
            "returns this shape",
        )


def _check_common_steps(simulator: Simulator, arrays: Arrays, counted: Collection[str]) -> None:
    """Refuse observables of other numbers of steps with a counter in common, which was left out."""
    for counter in set(simulator.lengths.values()) - {*counted, *arrays}:
        steps = {
            name: arrays[name].shape[1] for name, own in simulator.lengths.items() if own == counter
        }
        if len(set(steps.values())) > 1:
            got = ", ".join(f"{number} of {name!r}" for name, number in steps.items())
            raise _other_steps(counter, got)


def _other_steps(counter: str, got: str) -> InputError:
    return InputError(
        "Data",
        expected=f"the same number of steps in all observables that {counter!r} counts",
        got=got,
        do="cut the longer ones, or pad the shorter with NaN if values may be missing",
    )


def _pad(arrays: Arrays, observable: str, count: str, most: int) -> None:
    """Pad an observable to its declared steps, and fill in its count where that was left out."""
    value = arrays[observable]
    steps = value.shape[1]
    counts = arrays.setdefault(count, np.full(len(value), steps))
    if np.any(counts < 0) or np.any(np.floor(counts) > steps):
        raise InputError(
            f"Data {count!r}, the number of valid steps of {observable!r}",
            expected=f"0 to {steps}",
            got=f"{counts.min()} to {counts.max()}",
            do="count the steps that are there; the simulator declares how many there can be",
        )
    arrays[observable] = np.pad(value, [(0, 0), (0, most - steps), *[(0, 0)] * (value.ndim - 2)])


def _check_finite(
    name: str,
    value: np.ndarray,
    counts: np.ndarray | None,
    missing: bool,
    call: Callable[[int], str],
    do: str,
) -> None:
    broken = np.argwhere(~finite(value, counts, missing))
    if not len(broken):
        return
    row, *index = broken[0].tolist()
    found = value[tuple(broken.T)]
    kind = "NaN" if np.isnan(found).all() else "NaN or infinite"
    if not np.isnan(found).any():
        kind = "infinite, or too large for single precision"
        do = "correct them" + ("; NaN alone stands for a missing value" if missing else "")
    raise InputError(
        f"Data {name!r}",
        expected="finite numbers",
        got=f"{len(broken)} {kind}, the first in {call(row)}, index {index}",
        do=do,
    )


def outside_support(
    context: Prior, arrays: Mapping[str, np.ndarray]
) -> dict[str, tuple[np.ndarray, str]]:
    """Return by name which rows (n,) of context lie outside its support, and that in words."""
    typed = context.cast(arrays)
    return {
        name: outside(name, context.distribution(name, typed), arrays[name])
        for name in context.order
    }


def check_context(
    simulator: Simulator, context: Prior, arrays: Arrays, call: Callable[[int], str]
) -> None:
    """Refuse context (n, ...) outside its declared support; ``call`` names a row in words."""
    for name, (broken, support) in outside_support(context, arrays).items():
        if broken.any():
            row = int(np.argmax(broken))
            expected = f"context inside the support that was declared for it: {support}"
            got = f"{arrays[name][row].tolist()} in {call(row)}"
            unit = simulator.labels.unit(name)
            do = f"give it in {unit}, as the simulator does; or " if unit else ""
            do += (
                "widen its distribution in context={...} and train again, for nothing was "
                "learned out there"
            )
            raise InputError(f"Data {name!r}", expected=expected, got=got, do=do)


def check_inputs_within(
    simulator: Simulator,
    space: ParameterSpace,
    parameters: Mapping[str, Any],
    context: Mapping[str, Any] | None,
) -> Arrays:
    """Return parameters and context (n, ...), checked; refuse those outside their priors.

    A network answers there, too, but nothing was learned.
    """
    arrays = check_inputs(simulator, parameters, context)
    do = "leave those rows out, for nothing was learned out there, or train with a wider prior"
    space.refuse_outside(arrays, "Parameters", do)
    if simulator.context is not None:
        check_context(simulator, simulator.context, arrays, lambda row: f"row {row}")
    return arrays


def check_parameters(
    simulator: Simulator, parameters: Mapping[str, Any], observations: Observations
) -> tuple[Arrays, tuple[int, ...]]:
    """Return parameters (n_obs, draws, *event), and the shape (n_obs[, draws]) of the answer."""
    check_keys("Parameters", parameters, simulator.prior.names)
    values = {}
    shapes = set()
    for name, event in simulator.prior.event_shapes.items():
        subject = f"Parameter {name!r}"
        given = numbers(subject, parameters[name])
        if np.isnan(given).any():
            raise InputError(subject, expected="numbers", got="NaN", do="leave those draws out")
        value = given if observations.batched else given[None]
        batch = value.shape[: value.ndim - len(event)]
        if (
            value.shape[len(batch) :] != event
            or len(batch) not in (1, 2)
            or batch[0] != observations.count
        ):
            rows = (observations.count,) if observations.batched else ()
            raise InputError(
                subject,
                expected=f"shape {_shape(*rows, 'draws', *event)} or {_shape(*rows, *event)}",
                got=f"shape {given.shape}",
                do="give one row for each observation, or one draw axis as sample() returns",
            )
        shapes.add(batch)
        values[name] = value.reshape(batch[0], -1, *event)
    if len(shapes) > 1:
        raise InputError(
            "Parameters",
            expected="equal numbers of draws",
            got=f"{sorted(shapes)}",
            do="reshape them",
        )
    return values, shapes.pop()


def _shape(*sizes: int | str) -> str:
    """Write a shape as Python does, with names of sizes that are free."""
    return f"({', '.join(map(str, sizes))}{',' if len(sizes) == 1 else ''})"


# Probability with which simulations lose as many values as an observation that is warned of, or
# more; for several observations, that any does.
_RARE = 1e-3
# Shares that are averaged over.
_SHARES = 200


def warn_of_missing(simulator: Simulator, observations: Observations) -> None:
    """Warn of observations that lack more values than simulations with ``missing=share`` do.

    Where the simulator itself decides what is missing, nothing is known.
    """
    if not simulator.missing:
        return
    lost = np.zeros(observations.count, int)
    size = np.zeros(observations.count, int)
    for name in simulator.observable_shapes:
        value = observations.arrays[name]
        there = np.ones(value.shape, bool)
        if name in simulator.lengths:
            beyond = padding(value, observations.arrays[simulator.lengths[name]])
            there &= ~broadcast_mask(beyond, value)
        axes = tuple(range(1, value.ndim))
        lost += np.sum(there & np.isnan(value), axis=axes)
        size += np.sum(there, axis=axes)
    # The share of a simulation is uniform up to the declared one.
    shares = simulator.missing * (np.arange(_SHARES) + 0.5) / _SHARES
    more = special.bdtrc(lost[:, None] - 1, size[:, None], shares).mean(axis=1)
    rare = np.flatnonzero(more < _RARE / observations.count)
    if len(rare):
        worst = rare[np.argmin(more[rare])]
        which = f" of observation {worst}" if observations.batched else ""
        others = f", and too many of {len(rare) - 1} others" if len(rare) > 1 else ""
        warn(
            f"{lost[worst]} of {size[worst]} values{which} are missing{others}, where simulations "
            f"lose up to {simulator.missing:.0%} of theirs: the posterior is an extrapolation. "
            "Declare a larger share, missing=..., and train with it."
        )
