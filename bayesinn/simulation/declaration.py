"""Checks of what an author declares about a simulator."""

import difflib
import inspect
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core.arrays import MISSING_VALUES, numbers
from bayesinn.core.errors import SimulatorError, check_choice, check_integer, check_number, warn
from bayesinn.core.labels import Coordinate
from bayesinn.simulation.checks import Declared, finite, may_miss
from bayesinn.simulation.engines.engine import Declaration
from bayesinn.simulation.prior import DIRECTIONS, Prior, Support, support_of
from bayesinn.simulation.simulations import Arrays, copied

tfd = tfp.distributions

#: Three rows: a batch size that a constant or a parameter count rarely equals.
TRIAL_ROWS = 3
# Processes of one machine.
_MOST_WORKERS = 1_024
#: Names of the axes of results, and characters that separate names from each other and from
#: indices.
_AXES = ("chain", "draw", "observation", "simulation", "chunk")
_SEPARATORS = ("/", ",", "[")
#: Bytes in a name, to which endings are added in names of files; disks have 255.
_LONGEST_NAME = 200
#: Names of the last argument of a simulator's function, by engine.
_SEEDS = {"tensorflow": "seed", "jax": "key", "python": "generator"}
#: Priors that no smooth map from all of R^d reaches, and what to do in place of them.
_UNREACHABLE = {
    (tfd.Deterministic, tfd.VectorDeterministic): "write the constant into the simulator",
}


def check_known(subject: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise for the first name that is unknown, with the known name closest to it."""
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            raise SimulatorError(
                subject,
                expected=f"names among {list(known)}",
                got=repr(name),
                do=f"did you mean {close[0]!r}?" if close else "check the spelling",
            )


def check_options(
    declared: Declaration, engine: str, batched: bool | None, workers: int | None
) -> None:
    """Check the options of a simulator, and that its function takes the arguments it will get."""
    check_choice(
        _option("engine", declared),
        engine,
        ("tensorflow", "jax", "python"),
        error=SimulatorError,
    )
    check_choice(
        _option("on_nonfinite", declared),
        declared.on_nonfinite,
        ("raise", "redraw"),
        error=SimulatorError,
    )
    check_choice(
        _option("batched", declared),
        batched,
        (None,) if engine == "tensorflow" else (None, True, False),
        "leave it out: only simulators with engine='python' or engine='jax' have a choice, others "
        "are always batched",
        SimulatorError,
    )
    check_integer(
        _option("workers", declared),
        1 if workers is None else workers,
        most=_MOST_WORKERS,
        error=SimulatorError,
    )
    if declared.time_limit is not None:
        check_number(
            _option("time_limit", declared),
            declared.time_limit,
            above=0,
            do="pass seconds, for example 60",
        )
        check_choice(
            _option("time_limit", declared),
            engine,
            ("python",),
            "leave it out: only simulators with engine='python' have one",
            SimulatorError,
        )
    if declared.most_failures is not None:
        do = (
            "pass a share such as 0.5, with on_nonfinite='redraw': otherwise the first failure "
            "ends a run"
        )
        check_number(
            _option("most_failures", declared), declared.most_failures, least=0, below=1, do=do
        )
        check_choice(
            _option("on_nonfinite", declared),
            declared.on_nonfinite,
            ("redraw",),
            do,
            SimulatorError,
        )
    context = () if declared.context is None else ("context",)
    wanted = ("parameters", *context, _SEEDS[engine])
    signature = inspect.signature(declared.function)
    try:
        signature.bind(*wanted)
    except TypeError as error:
        raise SimulatorError(
            f"Function of simulator {declared.name!r}",
            expected=f"{len(wanted)} arguments: ({', '.join(wanted)})",
            got=str(signature),
            do="change the arguments"
            + ("" if context else ", or declare the context with context={...}"),
        ) from error


def _option(name: str, declared: Declaration) -> str:
    return f"Option {name!r} of simulator {declared.name!r}"


def check_prior(prior: Prior) -> None:
    """Refuse priors that can't be inferred: out of a flow's reach, or without a density."""
    draws = prior.sample(2, tf.constant([0, 0]))
    for name in prior.names:
        distribution = prior.distribution(name, draws)
        try:
            fault = _unreachable(distribution) or _infinite(draws[name].numpy())
            fault = fault or _unlikely(distribution, draws[name])
            fault = fault or _one_way(support_of(name, distribution), draws[name].numpy())
        except SimulatorError:
            raise
        except Exception as error:  # of a distribution that lacks a method
            got = f"{type(error).__name__}: {str(error)[:200]}"
            fault = (
                "a density, and a map from unconstrained numbers",
                got,
                "choose another distribution",
            )
        if fault:
            expected, got, do = fault
            raise SimulatorError(f"Prior of {name!r}", expected=expected, got=got, do=do)


def _unreachable(distribution: tfd.Distribution) -> tuple[str, str, str] | None:
    """Return expected, got, and what to do, for a prior that no smooth map from R^d reaches."""
    moved = False
    while isinstance(getattr(distribution, "distribution", None), tfd.Distribution):
        moved |= isinstance(distribution, tfd.TransformedDistribution)
        distribution = distribution.distribution
    expected = (
        "numbers that vary freely, in R^d, between bounds or on a simplex; directions; or matrices"
    )
    got = type(distribution).__name__
    if moved and isinstance(distribution, (tfd.VonMises, *DIRECTIONS)):
        return expected, f"a transformed {got}", "transform it in the simulator"
    if getattr(distribution, "input_output_cholesky", False):
        do = "leave input_output_cholesky out, or take tfd.CholeskyLKJ: the density is the matrix's"
        return expected, f"Cholesky factors of {got}", do
    return next(
        (
            (expected, got, do)
            for kinds, do in _UNREACHABLE.items()
            if isinstance(distribution, kinds)
        ),
        None,
    )


def _infinite(draws: np.ndarray) -> tuple[str, str, str] | None:
    """Return the fault of a prior whose draws are not finite, or hold nothing."""
    if not draws.size:
        return "one number or more", f"draws of shape {draws.shape[1:]}", "leave it out"
    if np.isfinite(draws).all():
        return None
    return "finite draws", f"{draws.tolist()}", "check its parameters: do they overflow?"


def _unlikely(distribution: tfd.Distribution, draws: tf.Tensor) -> tuple[str, str, str] | None:
    """Return the fault of a prior without a density at its own draws."""
    log_prob = distribution.log_prob(draws).numpy()
    # On an edge of a support, but nowhere on the real line, a density may be infinite.
    bijector = (
        distribution.experimental_default_event_space_bijector()
        if np.isposinf(log_prob).any()
        else None
    )
    if isinstance(bijector, tfp.bijectors.Identity) or not np.all(log_prob > -np.inf):
        got = f"log densities {log_prob.tolist()} of two draws"
        do = (
            "check its parameters: scales must be positive, covariances regular, lower bounds "
            "below upper ones"
        )
        return "a positive density where it draws", got, do
    return None


def _one_way(support: Support, draws: np.ndarray) -> tuple[str, str, str] | None:
    """Return the fault of a prior whose draws don't come back from unconstrained numbers."""
    value = support.clip(tf.constant(draws.astype(np.float32) + 0.5 * support.discrete))
    # As an array, or the bijector would remember what it came from.
    free = support.bijector.inverse(value).numpy()
    log_det = support.bijector.inverse_log_det_jacobian(
        value, support.bijector.inverse_min_event_ndims
    ).numpy()
    back = support.bijector.forward(free).numpy()
    back = np.floor(back) if support.discrete else back
    if (
        np.isfinite(free).all()
        and np.isfinite(log_det).all()
        and np.allclose(back, draws, 1e-3, 1e-3)
    ):
        return None
    do = "choose another distribution, or transform a standard one in the simulator"
    return (
        "draws that come back from unconstrained numbers",
        f"{back.tolist()} for {draws.tolist()}",
        do,
    )


def observable_shapes(
    name: str, trial: Mapping[str, Any], rows: int = TRIAL_ROWS
) -> dict[str, tuple[int, ...]]:
    """Return the shape of each observable without the batch axis, from a trial with a few rows."""
    shapes = {}
    for key, value in trial.items():
        subject = f"Observable {key!r} of simulator {name!r}"
        array = numbers(subject, value, SimulatorError)
        if array.ndim == 0 or len(array) != rows:
            raise SimulatorError(
                subject,
                expected=(
                    f"shape (n, ...), here ({rows}, ...): one row for each draw of the parameters"
                ),
                got=f"a scalar: {array}" if array.ndim == 0 else f"shape {array.shape}",
                do=(
                    "keep the batch axis of the parameters as first axis: reduce over the others "
                    "only"
                ),
            )
        shapes[key] = array.shape[1:]
    if not shapes:
        raise SimulatorError(
            f"Simulator {name!r}",
            expected="at least one observable",
            got="an empty dict",
            do="return the data",
        )
    return shapes


def check_names(simulator: Declared, **mentioned: Iterable[str] | None) -> None:
    """Check that names are distinct and usable, and that each option mentions only such names."""
    subject = f"simulator {simulator.name!r}"
    context = () if simulator.context is None else simulator.context.names
    axes = dict.fromkeys(coordinate.name for coordinate in simulator.labels.coordinates.values())
    names = (*simulator.prior.names, *context, *simulator.observable_shapes, *axes)
    twice = sorted({name for name in names if names.count(name) > 1}, key=str)
    if twice:
        raise SimulatorError(
            f"Names of {subject}",
            expected="different names for parameters, context, observables and coordinates",
            got=f"{twice} more than once",
            do="rename one of each pair",
        )
    for name in names:
        if not isinstance(name, str):
            do = "rename it, such as 'y'"
            raise SimulatorError(f"Name in {subject}", expected="a text", got=repr(name), do=do)
        dimension = any(name == f"{other}_dim_{axis}" for other in names for axis in range(4))
        do = "rename it; its text in labels={...} is free"
        if (
            name in _AXES
            or dimension
            or not (name.strip() == name and name.isprintable() and name)
            or any(separator in name for separator in _SEPARATORS)
        ):
            taken = ", ".join((*_AXES, "NAME_dim_0"))
            raise SimulatorError(
                f"Name {name!r} in {subject}",
                expected=(
                    f"a text, no axis of results ({taken}), none of {' '.join(_SEPARATORS)}, and "
                    "no space at the ends"
                ),
                got=repr(name),
                do=do,
            )
        if (length := len(name.encode())) > _LONGEST_NAME:
            raise SimulatorError(
                f"Name {name[:40]!r}... in {subject}",
                expected=f"at most {_LONGEST_NAME} bytes, for names of files and folders",
                got=f"{length}",
                do=do,
            )
    for option, texts in (("labels", simulator.labels.labels), ("units", simulator.labels.units)):
        for name, text in texts.items():
            _check_text(f"Option {option!r} of {subject}, {name!r}", text)
    _check_text(f"Name of {subject}", simulator.name)
    for option, keys in mentioned.items():
        check_known(f"Option {option!r} of {subject}", keys or (), names)
    check_known(
        f"Observables in option 'lengths' of {subject}",
        simulator.lengths,
        simulator.observable_shapes,
    )
    check_known(f"Context in option 'lengths' of {subject}", simulator.lengths.values(), context)
    for name, counter in simulator.lengths.items():
        if not simulator.observable_shapes[name]:
            raise SimulatorError(
                f"Observable {name!r} in option 'lengths' of {subject}",
                expected="steps on its first axis, of which some are padding",
                got="one number",
                do="leave it out of lengths",
            )
        assert simulator.context is not None
        if shape := simulator.context.event_shapes[counter]:
            raise SimulatorError(
                f"Context {counter!r} in option 'lengths' of {subject}",
                expected="one number for each data set: how many steps are valid",
                got=f"shape {shape}",
                do="declare a distribution of single numbers, without tfd.Sample",
            )


def _check_text(subject: str, text: Any) -> None:
    """Raise unless a value is a text that tables, figures and files can hold."""
    # Halves of surrogate pairs can't be written anywhere.
    if not isinstance(text, str) or re.search("[\0\ud800-\udfff]", text):
        raise SimulatorError(
            subject,
            expected="a text of characters",
            got=repr(text),
            do="pass a text, such as r'$\\lambda$'",
        )


def explain_counts(simulator: Declared) -> None:
    """Warn of numbers of valid steps that are not whole, or that there can't be."""
    for observable, counter in simulator.lengths.items():
        assert simulator.context is not None
        draws = simulator.context.sample(100, tf.constant([0, 0]))[counter].numpy()
        steps = simulator.observable_shapes[observable][0]
        if draws.min() < 0 or draws.max() >= steps + 1:
            warn(
                f"context {counter!r} counts {draws.min()} to {draws.max()} valid steps of "
                f"{observable!r}, which has 0 to {steps}: inference refuses other counts. Let "
                f"{observable!r} have more steps (those after the valid ones are padding), or "
                f"{counter!r} a narrower distribution",
            )
        if np.any(draws != np.floor(draws)):
            warn(
                f"context {counter!r} counts the valid steps of {observable!r}, but its "
                "distribution is continuous: "
                "counts are rounded down. For whole numbers declare "
                "tfd.FiniteDiscrete(tf.range(low, high), ...)",
            )


def check_observed(simulator: Declared, observed: Mapping[str, Any]) -> Arrays:
    """Return real data that ship with a simulator as arrays; they must be finite, padding aside."""
    subject = f"Option 'observed' of simulator {simulator.name!r}, {{!r}}"
    arrays = {
        name: numbers(subject.format(name), value, missing=may_miss(simulator, name))
        for name, value in observed.items()
    }
    for name, value in arrays.items():
        counts = arrays.get(simulator.lengths.get(name, ""))
        rows = value if value.ndim > len(simulator.observable_shapes.get(name, ())) else value[None]
        missing = simulator.missing is not None
        if not finite(rows, None if counts is None else np.atleast_1d(counts), missing).all():
            raise SimulatorError(
                subject.format(name),
                expected="finite numbers, padding aside",
                got="NaN or infinity",
                do=MISSING_VALUES,
            )
    return copied(arrays)


_DATES = "write dates as np.array(['2020-03-01', ...], dtype='datetime64[D]')"


def check_coordinates(
    simulator: str, declared: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Coordinate]:
    """Return coordinates of variables of these shapes: a number or date for each step.

    The steps are those of the first axis. A coordinate is declared as an array, whose axis is
    called "time", or as a dict of the name of an axis to an array.
    """
    option = f"Option 'coordinates' of simulator {simulator!r}"
    check_known(option, declared, shapes)
    coordinates: dict[str, Coordinate] = {}
    for name, places in declared.items():
        subject = f"{option}, {name!r}"
        shape = shapes[name]
        named = places if isinstance(places, Mapping) else {"time": places}
        if len(named) != 1:
            raise SimulatorError(
                subject,
                expected="an array, or a dict of one name to an array",
                got=f"a dict of {len(named)} names",
                do="declare those of the first axis: {'hours': ...}",
            )
        ((axis, values),) = named.items()
        array = np.array(values)
        expected = f"an array of shape {shape[:1]}, for {name!r} of shape {shape}"
        if not shape or array.shape != shape[:1]:
            raise SimulatorError(
                subject,
                expected=expected,
                got=f"shape {array.shape}",
                do=(
                    "pass one number or date for each step along the first axis"
                    if shape
                    else "leave it out"
                ),
            )
        if array.dtype.kind not in "iufM":
            raise SimulatorError(
                subject, expected="numbers or dates", got=f"dtype {array.dtype}", do=_DATES
            )
        _check_order(subject, array)
        same = next((other for other, known in coordinates.items() if known.name == axis), None)
        if same and not np.array_equal(coordinates[same].values, array):
            raise SimulatorError(
                subject,
                expected=f"the {axis!r} of {same!r}",
                got="other values",
                do=(f"rename one of them: coordinates={{{name!r}: {{'{axis} of {name}': ...}}}}"),
            )
        coordinates[name] = Coordinate(axis, array, len(shape))
    return coordinates


def _check_order(subject: str, array: np.ndarray) -> None:
    finite = np.isfinite(array)
    ahead = np.diff(array if array.dtype.kind == "M" else array.astype(float)).astype(float)
    right = finite[1:] & finite[:-1] & (ahead * ahead[:1] > 0.0)
    if not (finite.all() and right.all()):
        at = int(np.argmin(right)) if len(right) else 0
        raise SimulatorError(
            subject,
            expected="finite values that increase, or decrease, throughout",
            got=", ".join(
                f"{value} at step {index}" for index, value in enumerate(array[at : at + 2], at)
            ),
            do="sort the steps, and leave out missing ones",
        )
