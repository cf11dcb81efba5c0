"""Simulators written in JAX: one operation of a TensorFlow graph, compiled into the step.

A converted function is a function of tensors like any other: the TensorFlow engine runs it, and all
that is built on that engine takes it, such as banks, rounds and hierarchical models.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.core.compilation import has_gpu
from bayesinn.core.errors import BayesinnError, SimulatorError, warn
from bayesinn.simulation.engines.tensorflow_engine import line_in

#: Versions whose operations TensorFlow 2.21 reads. Tried: 0.8.0, 0.10.0 and 0.11.0 with all of
#: tests/simulation/test_jax.py, 0.9.0 and 0.11.1 with one simulator; 0.11.2 is too new.
VERSIONS = ">=0.8,<0.11.2"


def simulate_in_jax(function: Callable[..., Any], name: str, batched: bool) -> Callable[..., Any]:
    """Return a function of tensors (n, *event) and a seed (2,) that runs one of JAX.

    Parameters
    ----------
    function : ``(parameters, [context,] key)`` to dict of observables
        Of arrays (n, *event) if ``batched``, else of one draw; ``key`` is a typed PRNG key.
    name : str, of the simulator, for errors
    """
    jax = _import_jax(name)

    def run(*arguments: Any) -> Any:
        *given, seed = arguments
        key = jax.random.wrap_key_data(jax.lax.bitcast_convert_type(seed, jax.numpy.uint32))
        if batched:
            return function(*given, key)
        rows = jax.tree.leaves(given)[0].shape[0]
        fold = functools.partial(jax.random.fold_in, key)
        # Not jax.random.split: the number of rows is a symbol while the function is converted.
        return jax.vmap(function)(*given, jax.vmap(fold)(jax.numpy.arange(rows)))

    checked = False

    @_traced_as_it_is(function)
    def simulate(*arguments: Any) -> Any:
        nonlocal checked
        *given, seed = arguments
        shapes = [{key: _rows(value) for key, value in part.items()} for part in given]
        with _explained(function, name, batched):
            if not checked:
                # As many rows as there are in the trial of a new simulator.
                _check_key(jax, function, name, given, 3 if batched else None)
                checked = True
            return _convert(run, [*shapes, "(2,)"], gradient=False)(*given, seed)

    return simulate


def likelihood_in_jax(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a log likelihood of tensors, with gradients, that runs one of JAX.

    ``function`` takes parameters (n, *event) and the data of one observation, and returns (n,).
    """
    _import_jax(name)

    @_traced_as_it_is(function)
    def log_likelihood(parameters: Mapping[str, Any], data: Mapping[str, Any]) -> tf.Tensor:
        values = {key: tf.convert_to_tensor(value) for key, value in parameters.items()}
        known = {key: tf.convert_to_tensor(value) for key, value in data.items()}
        shapes = [
            {key: _rows(value) for key, value in values.items()},
            dict.fromkeys(known),
        ]
        with _explained(function, name, batched=True):
            return _convert(function, shapes, gradient=True)(values, known)

    return log_likelihood


def _traced_as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark what stands for a function of JAX: AutoGraph would take minutes to convert JAX."""

    def decorate(converted: Callable[..., Any]) -> Callable[..., Any]:
        plain = tf.autograph.experimental.do_not_convert(converted)
        return functools.update_wrapper(plain, function)

    return decorate


def _import_jax(name: str) -> Any:
    """Return the package, if it is there and TensorFlow reads its operations."""
    try:
        jax = importlib.import_module("jax")
        fault = _unreadable()
    except ImportError as error:
        fault = str(error)
    if fault:
        raise SimulatorError(
            f"Simulator {name!r}, engine='jax'",
            expected=f"the package jax{VERSIONS}, whose operations this TensorFlow reads",
            got=fault,
            do=f"install one with: pip install 'bayesinn[jax]' (jax{VERSIONS})",
        )
    return jax


@functools.cache
def _unreadable() -> str:
    """Return why TensorFlow can't read what JAX writes; nothing if it can."""
    jax = importlib.import_module("jax")

    def draw(rate: Any) -> Any:
        return rate * jax.random.normal(jax.random.key(0), rate.shape)

    try:
        _convert(draw, ["(n,)"], gradient=False)(tf.ones(2))
    except (tf.errors.OpError, AttributeError, ImportError, TypeError) as error:
        if isinstance(error, tf.errors.OpError):
            return f"jax {jax.__version__}, whose operations it can't read"
        return f"jax {jax.__version__}: {type(error).__name__}, {str(error)[:200]}"
    return ""


def _convert(function: Callable[..., Any], shapes: list[Any], gradient: bool) -> Any:
    jax2tf = importlib.import_module("jax.experimental.jax2tf")
    platforms = ("cpu", "cuda") if has_gpu() else ("cpu",)
    return jax2tf.convert(
        function,
        polymorphic_shapes=shapes,
        native_serialization_platforms=platforms,
        with_gradient=gradient,
    )


def _rows(value: Any) -> str:
    """Return the shape of a tensor for JAX: any number of rows, and the rest as it is."""
    return f"({', '.join(['n', *map(str, value.shape[1:])])})"


def _check_key(
    jax: Any, function: Callable[..., Any], name: str, given: list[Any], rows: int | None
) -> None:
    """Refuse random numbers that the key doesn't decide; warn of a key that decides nothing.

    JAX runs the function once and keeps its operations. Random numbers of NumPy would become
    constants, the same in each simulation; they differ if the function is traced twice.
    """
    leading = () if rows is None else (rows,)
    shapes = [
        {
            key: jax.ShapeDtypeStruct((*leading, *value.shape[1:]), value.dtype.as_numpy_dtype)
            for key, value in part.items()
        }
        for part in given
    ]
    key = jax.ShapeDtypeStruct((), jax.random.key(0).dtype)
    # New objects: JAX would return what it traced before.
    first, second = (jax.make_jaxpr(functools.partial(function))(*shapes, key) for _ in range(2))
    words = str(first.jaxpr)
    if "_callback" in words or "debug_print" in words:
        raise SimulatorError(
            f"Simulator {name!r}",
            expected="operations alone, which are compiled into the training step",
            got="a call back to Python: jax.debug.print, pure_callback or a check that raises",
            do="leave it out; solvers of diffrax give NaN in place of errors if the environment "
            "has EQX_ON_ERROR=nan before they are imported",
        )
    if _fingerprint(jax, first) != _fingerprint(jax, second):
        raise SimulatorError(
            f"Simulator {name!r}",
            expected="random numbers that follow from the key",
            got="numbers that differ each time the function is traced, such as NumPy's",
            do="draw them with jax.random and the key",
        )
    argument = list(inspect.signature(function).parameters)[-1]
    last = first.jaxpr.invars[-1]
    used = any(value is last for step in first.jaxpr.eqns for value in step.invars)
    if not used and not argument.startswith("_"):
        warn(
            f"The function of simulator {name!r} doesn't use its key: equal parameters give equal "
            "data. Draw noise with jax.random and the key; if there is none, name the argument "
            f"'_{argument}'."
        )


def _fingerprint(jax: Any, traced: Any) -> tuple[str, list[bytes]]:
    """Return the operations of a traced function, without addresses of objects; its constants."""
    is_key = jax.dtypes.issubdtype
    constants = [
        jax.random.key_data(value) if is_key(value.dtype, jax.dtypes.prng_key) else value
        for value in traced.consts
    ]
    operations = re.sub("0x[0-9a-f]+", "", str(traced.jaxpr))
    return operations, [np.asarray(value).tobytes() for value in constants]


@contextlib.contextmanager
def _explained(function: Callable[..., Any], name: str, batched: bool) -> Iterator[None]:
    """Say what to do where JAX, or TensorFlow as it reads JAX's operations, raises."""
    try:
        yield
    except BayesinnError:
        raise
    except Exception as error:
        code = getattr(inspect.unwrap(function), "__code__", None)
        do = f"correct it{line_in(getattr(code, 'co_filename', ''), error)}; it is called with "
        do += "arrays (n, ...)" if batched else "the values of one draw"
        expected = "a function that JAX can trace, which returns a dict of observables"
        got = f"{type(error).__name__}: {str(error).splitlines()[0][:300]}"
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if kinds & {"JAXTypeError", "ConcretizationTypeError", "JAXIndexError"}:
            do = (
                "take jax.numpy for NumPy, jnp.where or jax.lax.cond for 'if', jax.lax.scan for "
                f"loops over values; or declare engine='python'; {do}"
            )
        elif "InconclusiveDimension" in type(error).__name__:
            do = "write it for one draw, and declare batched=False: then any number of rows will do"
        raise SimulatorError(
            f"Simulator {name!r}, engine='jax'", expected=expected, got=got, do=do
        ) from error
