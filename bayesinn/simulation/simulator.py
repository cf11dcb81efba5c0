"""The simulator: what a scientist writes, with everything that is declared once about it."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow_probability as tfp

from bayesinn.core import seeds
from bayesinn.core.errors import InputError, SimulatorError
from bayesinn.core.labels import Labels
from bayesinn.simulation import checks
from bayesinn.simulation.declaration import Declaration
from bayesinn.simulation.prior import Entry, Prior
from bayesinn.simulation.python_engine import PythonEngine
from bayesinn.simulation.recommended import Recommended
from bayesinn.simulation.simulations import Simulations
from bayesinn.simulation.tensorflow_engine import TensorFlowEngine

tfd = tfp.distributions
Arrays = dict[str, np.ndarray]

#: Simulators that are alive in this program, by where they were declared: see :meth:`Simulator.reference`.
declared_simulators: weakref.WeakValueDictionary[tuple[str, ...], Simulator] = weakref.WeakValueDictionary()


class Simulator:
    """Prior, context, forward model, names, labels and units. Made by the decorator :func:`simulator`.

    Attributes
    ----------
    name : str
    prior : Prior
    context : Prior or None
        Variables that are known at inference, with the distribution that training draws them from.
    observable_shapes : dict of name to tuple of int, without the batch axis
    labels : Labels
    lengths : dict of observable to the context variable that counts its valid steps
    on_nonfinite : "raise" or "redraw"
    observed : dict of arrays, or None
        Real data that ship with the simulator.
    log_likelihood, exact : functions or None
        ``log_likelihood(parameters, data)`` gives (n,) for parameters (n, *event) and one observation;
        ``exact(data, draws, seed)`` gives a dict of exact posterior draws (draws, *event) for one observation.
    recommended : Recommended
        Networks and training for those who choose none.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        prior: Mapping[str, Entry] | tfd.JointDistributionNamed,
        context: Mapping[str, Entry] | tfd.JointDistributionNamed | None = None,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        units: Mapping[str, str] | None = None,
        lengths: Mapping[str, str] | None = None,
        engine: Literal["tensorflow", "python"] = "tensorflow",
        batched: bool = False,
        workers: int | None = None,
        on_nonfinite: Literal["raise", "redraw"] = "raise",
        observed: Mapping[str, Any] | None = None,
        log_likelihood: Callable[..., Any] | None = None,
        exact: Callable[..., Arrays] | None = None,
        recommended: Recommended | None = None,
    ) -> None:
        self.function = function
        self.name = name or function.__name__
        self.__doc__ = function.__doc__
        self.prior = Prior(prior)
        self.context = None if context is None else Prior(context, subject="context")
        self.on_nonfinite = on_nonfinite
        self.lengths = dict(lengths or {})
        self.log_likelihood = log_likelihood
        self.exact = exact
        self.recommended = recommended or Recommended()
        checks.check_declaration(self.name, function, engine, on_nonfinite, batched, self.context is not None)
        declared = Declaration(self.name, function, self.prior, self.context, on_nonfinite, self.lengths)
        self.engine: TensorFlowEngine | PythonEngine
        if engine == "python":
            self.engine = PythonEngine(declared, batched, workers)
        else:
            self.engine = TensorFlowEngine(declared)
        self.observable_shapes = checks.observable_shapes(self.name, self.engine)
        checks.check_names(self)
        self.labels = Labels(dict(labels or {}), dict(units or {}))
        self.observed = None if observed is None else {key: np.asarray(value) for key, value in observed.items()}
        declared_simulators[tuple(self.reference().values())] = self

    @property
    def context_names(self) -> tuple[str, ...]:
        """Names of the context variables, empty without context."""
        return () if self.context is None else self.context.names

    @property
    def shapes(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """Shapes of all parameters, observables and context variables, by name and in order."""
        return {
            "parameters": dict(self.prior.event_shapes),
            "observables": dict(self.observable_shapes),
            "context": {} if self.context is None else dict(self.context.event_shapes),
        }

    @property
    def in_graph(self) -> bool:
        """Whether the forward model is made of TensorFlow operations."""
        return isinstance(self.engine, TensorFlowEngine)

    def sample(self, n: int, seed: int) -> Arrays:
        """Draw parameters from the prior, context, and simulated observables.

        Parameters
        ----------
        n : int
        seed : int

        Returns
        -------
        dict of name to array (n, ...), parameters, context and observables side by side

        Raises
        ------
        SimulatorError
            When simulations are not finite and ``on_nonfinite="raise"``.
        """
        simulations = self.draw(n, seed)
        checks.check_finite(self, simulations)
        return simulations.flat()

    def draw(self, n: int, seed: int, stream: str = "simulations") -> Simulations:
        """As :meth:`sample`, as NumPy arrays in three dicts and with the count of failed simulations, unchecked."""
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise InputError("Number of simulations", expected="a positive integer", got=repr(n), do="pass n >= 1")
        if isinstance(self.engine, PythonEngine):
            return self.engine.draw(int(n), seeds.entropy(seed, stream))
        return self.engine.draw_eagerly(int(n), seeds.tensor_seed(seed, stream)).numpy()

    def simulate(self, parameters: Mapping[str, Any], seed: int, context: Mapping[str, Any] | None = None) -> Arrays:
        """Run the forward model for given parameters, as for a posterior predictive.

        Parameters
        ----------
        parameters : dict of name to array (n, *event)
        seed : int
        context : dict of name to array (n, *event)

        Returns
        -------
        dict of observable to array (n, ...)
        """
        checks.check_arrays(self.prior, parameters)
        if self.context is not None:
            checks.check_arrays(self.context, context or {})
        # TensorFlow doesn't mix dtypes: the function gets those that its prior and context draw.
        arrays = {key: np.asarray(parameters[key], dtype) for key, dtype in self.prior.dtypes.items()}
        given = None
        if self.context is not None and context is not None:
            given = {key: np.asarray(context[key], dtype) for key, dtype in self.context.dtypes.items()}
        if isinstance(self.engine, PythonEngine):
            return self.engine.simulate(arrays, given, seeds.entropy(seed, "predictive"))
        return self.engine.simulate_eagerly(arrays, given, seeds.tensor_seed(seed, "predictive"))

    def __call__(self, *arguments: Any) -> Any:
        """Call the function that was decorated."""
        return self.function(*arguments)

    def reference(self) -> dict[str, str]:
        """Where the simulator can be found again: name, module and file. Goes into the manifest."""
        # Not from the module of that name, which may be another one.
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        file = Path(code.co_filename) if code else Path()
        return {
            "name": self.name,
            # Functools' partial functions and callable objects have neither.
            "module": getattr(self.function, "__module__", ""),
            "object": getattr(self.function, "__qualname__", ""),
            "file": str(file.resolve()) if file.is_file() else "",
        }

    def __repr__(self) -> str:
        def shapes(entries: Mapping[str, tuple[int, ...]]) -> str:
            return ", ".join(f"{name}{list(shape) if shape else ''}" for name, shape in entries.items())

        context = "" if self.context is None else f"\n  context:     {shapes(self.context.event_shapes)}"
        return (
            f"Simulator {self.name!r}\n  parameters:  {shapes(self.prior.event_shapes)}{context}"
            f"\n  observables: {shapes(self.observable_shapes)}"
        )


def simulator(
    misplaced: Callable[..., Any] | None = None,
    /,
    *,
    prior: Mapping[str, Entry] | tfd.JointDistributionNamed | None = None,
    context: Mapping[str, Entry] | tfd.JointDistributionNamed | None = None,
    name: str | None = None,
    labels: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    lengths: Mapping[str, str] | None = None,
    engine: Literal["tensorflow", "python"] = "tensorflow",
    batched: bool = False,
    workers: int | None = None,
    on_nonfinite: Literal["raise", "redraw"] = "raise",
    observed: Mapping[str, Any] | None = None,
    log_likelihood: Callable[..., Any] | None = None,
    exact: Callable[..., Arrays] | None = None,
    recommended: Recommended | None = None,
) -> Callable[[Callable[..., Any]], Simulator]:
    """Turn a function into a :class:`Simulator`.

    The function gets ``(parameters, seed)``, or ``(parameters, context, seed)`` when a context is declared, and
    returns a dict of observables. With the TensorFlow engine it is a pure function of tensors: each parameter
    (n, *event), ``seed`` an int32 tensor (2,) for ``tf.random.stateless_*``, each observable (n, ...). With
    ``engine="python"`` it gets the values of one draw and a ``numpy.random.Generator``, or arrays of many draws with
    ``batched=True``, and runs in worker processes.

    Parameters
    ----------
    prior : dict of TFP distributions, or ``tfd.JointDistributionNamed``
        A function in place of a distribution makes it depend on the entries that its arguments name.
    context : as ``prior``
        What is known at inference (population size, number of days), with the distribution to train over.
    name : str
        The function's name by default.
    labels, units : dict of name to text
        For parameters, context and observables; used by every table and figure.
    lengths : dict of observable to context variable
        The context variable counts the valid steps along the first axis of the observable; the rest is padding, which
        may hold anything, NaN included.
    engine : "tensorflow" or "python"
    batched, workers
        For the Python engine: whether the function takes many draws, and the number of processes (all cores).
        Results don't depend on the number of workers.
    on_nonfinite : "raise" or "redraw"
        What to do with simulations that are not finite. "redraw" replaces parameters and data, which conditions the
        prior on success; the count is reported.
    observed : dict of arrays
        Real data to ship with the simulator.
    log_likelihood, exact : functions
        See :class:`Simulator`. For comparing with exact answers.
    recommended : Recommended
        Networks and training that work well, for those who choose none.

    Examples
    --------
    >>> import tensorflow as tf
    >>> @simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, units={"mean": "cm"})
    ... def ruler(parameters, seed):
    ...     noise = tf.random.stateless_normal((tf.shape(parameters["mean"])[0], 3), seed)
    ...     return {"lengths": parameters["mean"][:, None] + 0.1 * noise}
    >>> ruler
    Simulator 'ruler'
      parameters:  mean
      observables: lengths[3]
    >>> ruler.sample(5, seed=1)["lengths"].shape
    (5, 3)
    """
    if misplaced is not None or prior is None:
        raise SimulatorError(
            "Decorator @simulator",
            expected="@simulator(prior={...}) above the function",
            got="@simulator without a prior",
            do="declare the prior: @simulator(prior={'rate': tfd.LogNormal(0.0, 1.0)})",
        )

    def decorate(function: Callable[..., Any]) -> Simulator:
        return Simulator(
            function,
            prior=prior,
            context=context,
            name=name,
            labels=labels,
            units=units,
            lengths=lengths,
            engine=engine,
            batched=batched,
            workers=workers,
            on_nonfinite=on_nonfinite,
            observed=observed,
            log_likelihood=log_likelihood,
            exact=exact,
            recommended=recommended,
        )

    return decorate
