"""The simulator: what a scientist writes, with everything that is declared once about it."""

from __future__ import annotations

import dataclasses
import functools
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

import numpy as np
import tensorflow_probability as tfp

from bayesinn.core import seeds
from bayesinn.core.errors import BayesinnError, InputError, SimulatorError, check_draws, check_type
from bayesinn.core.html import table_html
from bayesinn.core.labels import Labels
from bayesinn.simulation import checks, declaration
from bayesinn.simulation.checks import check_missing
from bayesinn.simulation.declaration import check_coordinates
from bayesinn.simulation.digits import observable_type
from bayesinn.simulation.engines.constants import find_source
from bayesinn.simulation.engines.engine import Declaration, Engine
from bayesinn.simulation.engines.jax_function import likelihood_in_jax, simulate_in_jax
from bayesinn.simulation.engines.python_engine import PythonEngine
from bayesinn.simulation.engines.tensorflow_engine import TensorFlowEngine
from bayesinn.simulation.prior import Entry, Prior
from bayesinn.simulation.prior_text import entry_texts
from bayesinn.simulation.simulations import Simulations

tfd = tfp.distributions
Arrays = dict[str, np.ndarray]

#: Simulators that are alive in this program, by where they were declared: see
#: :meth:`Simulator.reference`.
declared_simulators: weakref.WeakValueDictionary[tuple[str, ...], Simulator] = (
    weakref.WeakValueDictionary()
)


class Simulator:
    """Prior, context, forward model, names, labels, units and coordinates.

    Made by the decorator :class:`simulator`.

    Attributes
    ----------
    observable_shapes : dict of name to tuple of int, without the batch axis
    observable_types : dict of name to dtype, those of banks and training
    prior, context : Prior; the context may be None
    missing : float
        The largest share of values that are lost at random; None where no value may be missing.
    places : dict of observable to array of int
        Elements that are left of the vectors of a whole simulator; see :class:`bayesinn.Selection`.
    per_trial : tuple of str
        Observables and context (trials, ...), where the simulator is that of several trials.
    labels, function, name, lengths, on_nonfinite, most_failures
        As declared.
    observed, log_likelihood, exact, recommended
        As declared.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        options: simulator,
        new_engine: Callable[[Declaration], Engine] | None = None,
    ) -> None:
        self.name = str(options.name or getattr(function, "__name__", type(function).__name__))
        self.__doc__ = function.__doc__
        self.prior = Prior(options.prior)
        self.context = (
            None if options.context is None else Prior(options.context, subject="context")
        )
        self.on_nonfinite = str(options.on_nonfinite)
        self.most_failures = options.most_failures
        self.lengths = dict(options.lengths or {})
        self.missing = check_missing(
            f"Option 'missing' of simulator {self.name!r}", options.missing
        )
        self.log_likelihood = options.log_likelihood
        # Not checked yet: it may be anything, also an array.
        if isinstance(options.engine, str) and options.engine == "jax":
            function = simulate_in_jax(function, self.name, options.batched is not False)
            if options.log_likelihood is not None:
                self.log_likelihood = likelihood_in_jax(options.log_likelihood, self.name)
        self.function = function
        self.exact = options.exact
        self.recommended = options.recommended or Recommended()
        self.places: Arrays = {}
        self.per_trial: tuple[str, ...] = ()
        declared = Declaration(
            self.name,
            function,
            self.prior,
            self.context,
            self.on_nonfinite,
            self.lengths,
            self.missing,
            options.time_limit,
            options.most_failures,
        )
        declaration.check_options(declared, options.engine, options.batched, options.workers)
        declaration.check_prior(self.prior)
        python = options.engine == "python"
        if new_engine is None:
            new_engine = TensorFlowEngine
            if python:
                new_engine = functools.partial(
                    PythonEngine, batched=bool(options.batched), workers=options.workers
                )
        self.engine = new_engine(declared)
        trial = self.engine.trial(declaration.TRIAL_ROWS)
        self.observable_shapes = declaration.observable_shapes(self.name, trial)
        if self.engine.in_graph:
            # Of data with as many steps as the trial has rows, any axis looks like that of rows.
            fewer = declaration.TRIAL_ROWS - 1
            declaration.observable_shapes(self.name, self.engine.trial(fewer), fewer)
        # Python functions may return integers once and floats later.
        self.observable_types = {
            name: observable_type(value) if python else value.dtype for name, value in trial.items()
        }
        placed = {**self.prior.event_shapes, **self.observable_shapes}
        coordinates = check_coordinates(self.name, options.coordinates or {}, placed)
        self.labels = Labels(dict(options.labels or {}), dict(options.units or {}), coordinates)
        declaration.check_names(
            self, labels=options.labels, units=options.units, observed=options.observed
        )
        declaration.explain_counts(self)
        self.observed = (
            None if options.observed is None else declaration.check_observed(self, options.observed)
        )
        declared_simulators[tuple(self.reference().values())] = self

    @property
    def context_names(self) -> tuple[str, ...]:
        """Names of the context variables, empty without context."""
        return () if self.context is None else self.context.names

    @property
    def priors(self) -> tuple[Prior, ...]:
        """The prior of the parameters, and that of the context if there is one."""
        return self.engine.declared.priors

    @property
    def shapes(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """Shapes of all parameters, observables and context variables, by name and in order."""
        context = {} if self.context is None else self.context.event_shapes
        return {
            "parameters": self.prior.event_shapes,
            "observables": self.observable_shapes,
            "context": context,
        }

    @property
    def dimensions(self) -> dict[str, list[str]]:
        """Axis names of each variable in results and files: its coordinate's or ``NAME_dim_0``."""
        shapes = {name: shape for kind in self.shapes.values() for name, shape in kind.items()}
        dimensions = {
            name: [f"{name}_dim_{axis}" for axis in range(len(shape))]
            for name, shape in shapes.items()
        }
        for name, coordinate in self.labels.coordinates.items():
            dimensions[name][0] = coordinate.name
        return dimensions

    @property
    def in_graph(self) -> bool:
        """Whether the forward model is made of TensorFlow operations."""
        return self.engine.in_graph

    @property
    def simulates(self) -> bool:
        """Whether there is a forward model; False for :func:`bayesinn.from_arrays`."""
        return self.engine.simulates

    def sample(self, n: int, seed: int) -> Arrays:
        """Draw parameters, context and observables in one dict; raise if they aren't finite."""
        simulations = self.draw(n, seed)
        checks.check_finite(self, simulations)
        return simulations.flat()

    def draw(self, n: int, seed: int, stream: str = "simulations") -> Simulations:
        """Draw as :meth:`sample` does, into three dicts, with the count of failed simulations.

        The draws are not checked for finite values.
        """
        drawn = self.engine.sample(self.check_count(n), seed, stream)
        self.check_failures(n, int(drawn.failed))
        return drawn

    def check_count(self, n: Any, subject: str = "Number of simulations") -> int:
        """Return a number of simulations that fit into memory."""
        shapes = {name: own for kind in self.shapes.values() for name, own in kind.items()}
        return check_draws(n, shapes, subject=subject)

    def check_failures(self, good: int, failed: int) -> None:
        """Raise if more simulations failed, beside good ones, than ``most_failures`` allows."""
        self.engine.policy.check_limit(good, failed)

    def simulate(
        self,
        parameters: Mapping[str, Any],
        seed: int,
        context: Mapping[str, Any] | None = None,
        progress: bool = False,
    ) -> Arrays:
        """Run the forward model for given parameters and context.

        ``progress`` shows how far worker processes are. Where a Python simulator may fail, failed
        rows are NaN, or infinite if NaN means a missing value.
        """
        # TensorFlow doesn't mix dtypes: the function gets those that its prior and context draw.
        checked = checks.check_inputs(self, parameters, context)
        for law in filter(None, (self.prior, self.context)):
            law.refuse_fractions(checked)
        arrays = self.prior.cast({name: checked[name] for name in self.prior.names})
        given: Arrays = {}
        if self.context is not None:
            given = self.context.cast({name: checked[name] for name in self.context.names})
        policy = self.engine.policy
        entropy = seeds.entropy(seed, "predictive")
        outcome = self.engine.simulate(arrays, given, entropy, progress)
        if not policy.redraws:
            policy.raise_failure(outcome.failed)
        if len(outcome.failed) == outcome.rows:
            return {
                name: np.full(
                    (outcome.rows, *shape),
                    policy.mark,
                    np.result_type(self.observable_types[name], np.float32),
                )
                for name, shape in self.observable_shapes.items()
            }
        return outcome.complete(policy.mark)

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)

    def reference(self) -> dict[str, Any]:
        """Return where the simulator can be found again: its name, module and file."""
        return {"name": self.name, **find_source(self, self.function)}

    def __repr__(self) -> str:
        source = "" if self.simulates else ", from arrays"
        return "\n".join([f"Simulator {self.name!r}{source}", *shape_lines(self.shapes)])

    def _repr_html_(self) -> str:
        texts: dict[str, str] = {}
        for prior in self.priors:
            texts |= entry_texts(prior, {})
        rows = [
            (kind, name, self.labels.axis(name), " x ".join(map(str, shape)), texts.get(name, ""))
            for kind, shapes in self.shapes.items()
            for name, shape in shapes.items()
        ]
        heads = ("", "name", "label and unit", "shape", "distribution")
        return table_html(repr(self).partition("\n")[0], heads, rows)


def shape_lines(shapes: Mapping[str, Mapping[str, tuple[int, ...]]]) -> list[str]:
    """Write the variables of each kind with their shapes, a line a kind."""
    lines = []
    for kind in ("parameters", "context", "observables"):
        texts = [f"{name}{list(shape) if shape else ''}" for name, shape in shapes[kind].items()]
        if texts:
            lines.append(f"  {f'{kind}:':<13}{', '.join(texts)}")
    return lines


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class simulator:
    """Decorator that turns a function into a :class:`Simulator`.

    The function gets ``(parameters, seed)``, or ``(parameters, context, seed)`` if a context is
    declared, and returns a dict of observables. The engine decides what it gets:

    - "tensorflow": tensors (n, *event), and as ``seed`` an int32 tensor (2,) for
      ``tf.random.stateless_*``. The function must be pure.
    - "jax": arrays (n, *event), or the values of one draw with ``batched=False``, and in place of a
      seed a typed PRNG key. The function must be pure. It needs ``bayesinn[jax]``. Its log
      likelihood is a function of JAX arrays, too.
    - "python": the values of one draw, or arrays of many with ``batched=True``, and as ``seed`` a
      ``numpy.random.Generator``. The function runs in worker processes.

    Parameters
    ----------
    prior : dict of TFP distributions, or ``tfd.JointDistributionNamed``
        An entry may be a function that returns a distribution: its arguments name the entries on
        which it depends.
    context : as ``prior``
        Variables that are known at inference (population size, number of days), with the
        distribution to train over.
    name : str, by default the function's
    labels, units : dict of name to text, for every table and figure
        The names of coordinates may have them, too.
    coordinates : dict of observable or parameter to array (steps,) of numbers or dates
        Places of the steps along its first axis, for figures, tables and results:
        ``{"dose": hours}``. A dict names the axis: ``{"spectrum": {"wavelength": nanometres}}``.
        The default name is "time". A parameter (steps,) on the axis of a series is a path:
        posteriors get ``bi.flows.Path`` by default.
    lengths : dict of observable to context variable
        The context variable counts the valid steps along the observable's first axis. The rest is
        padding and may hold anything, even NaN.
    missing : "mask", or a number
        Allows missing values of observables: NaN, or masked. Networks see which values are there.
        By default no value may be missing.

        - "mask": the function itself returns NaN for missing values.
        - a number such as 0.3: each simulation also loses a random share of its values, from 0 to
          that number. :meth:`Simulator.simulate` loses none.
    engine : "tensorflow", "jax" or "python"
    batched : bool
        Whether the function takes many draws: by default in TensorFlow and JAX, but not in Python.
    workers : int
        Number of processes of the Python engine, by default one for each core. Results don't depend
        on it.
    time_limit : float
        In seconds, for one simulation of the Python engine; a slower one has failed. By default
        none.
    on_nonfinite : "raise" or "redraw"
        Policy for simulations that are not finite, and with the Python engine for those that raise
        or take too long.

        - "raise": an error.
        - "redraw": new parameters and data, and a report of the count. This conditions the prior on
          success.
    most_failures : float, share of draws, such as 0.5
        Largest share that may fail. Banks, training and all else end with a SimulatorError as soon
        as the draws so far show that more fail; finished work is kept and continues with a larger
        limit. By default there is no limit: only the author knows whether failures are a fault, or
        a region that the prior should exclude.
    observed : dict of arrays, real data to ship with the simulator
    log_likelihood : function ``(parameters, data)``
        Returns (n,) for n parameters and one observation.
    exact : function ``(data, draws, seed)``
        Returns a dict of posterior draws (draws, *event) for one observation.
    recommended : Recommended, networks and training settings for users who choose none

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
    """

    prior: Mapping[str, Entry] | tfd.JointDistributionNamed
    context: Mapping[str, Entry] | tfd.JointDistributionNamed | None = None
    name: str | None = None
    labels: Mapping[str, str] | None = None
    units: Mapping[str, str] | None = None
    coordinates: Mapping[str, Any] | None = None
    lengths: Mapping[str, str] | None = None
    missing: Literal["mask"] | float | None = None
    engine: Literal["tensorflow", "jax", "python"] = "tensorflow"
    batched: bool | None = None
    workers: int | None = None
    time_limit: float | None = None
    on_nonfinite: Literal["raise", "redraw"] = "raise"
    most_failures: float | None = None
    observed: Mapping[str, Any] | None = None
    log_likelihood: Callable[..., Any] | None = None
    exact: Callable[..., Arrays] | None = None
    recommended: Recommended | None = None

    def __new__(cls, *misplaced: Any, **options: Any) -> Self:
        """Refuse a decorator without brackets or without a prior, and misspelt options."""
        known = [field.name for field in dataclasses.fields(cls) if field.init]
        declaration.check_known("Option of @simulator", options, known)
        if misplaced or options.get("prior") is None:
            raise SimulatorError(
                "Decorator @simulator",
                expected="@simulator(prior={...}) above the function",
                got="@simulator without a prior",
                do="declare the prior: @simulator(prior={'rate': tfd.LogNormal(0.0, 1.0)})",
            )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name in ("labels", "units", "lengths", "observed"):
            do = f"write {name}={{'name': ...}}, or leave it out"
            check_type(
                f"Option {name!r} of @simulator",
                getattr(self, name),
                (Mapping, type(None)),
                "a dict",
                do,
            )
        do = "pass one, or leave it out"
        for name in ("log_likelihood", "exact"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise InputError(
                    f"Option {name!r} of @simulator", expected="a function", got=repr(value), do=do
                )
        kinds = (Recommended, type(None))
        check_type(
            "Option 'recommended' of @simulator", self.recommended, kinds, "bi.Recommended(...)", do
        )

    def __call__(self, function: Callable[..., Any]) -> Simulator:
        try:
            return Simulator(function, self)
        except BayesinnError as error:
            # A file may declare several.
            name = self.name or getattr(function, "__name__", "")
            if name and repr(name) not in str(error):
                error.args = (f"Simulator {name!r}: {error}",)
            raise


@dataclasses.dataclass(frozen=True)
class Recommended:
    """Defaults of a simulator, used in place of the library's where its user chooses nothing.

    Parameters
    ----------
    summary : Summary, or dict of observable to Summary, as for :class:`AmortizedPosterior`
    flow : Flow, by default that of :class:`AmortizedPosterior`
    steps, batch_size : int, for online training
    learning_rate : float
    passes : int
        Number of passes through simulations that are drawn before the first step, for simulators
        slower than a training step; 0 draws new simulations at each step.

    Examples
    --------
    >>> from bayesinn.summaries import MLP
    >>> Recommended(summary=MLP(64), steps=20_000).batch_size
    256
    """

    summary: Any = None
    flow: Any = None
    steps: int = 5_000
    batch_size: int = 256
    learning_rate: float = 5e-3
    passes: int = 0


def check_simulator(value: object) -> None:
    """Refuse what is no simulator, such as a bare function, as the argument of an estimator."""
    check_type(
        "Argument 'simulator'",
        value,
        Simulator,
        "a Simulator",
        "decorate the function with @bi.simulator, or fetch one with bi.get_simulator(name)",
    )


_SECONDS = 2.0
_MOST = 10_000


def simulations_per_second(simulator: Simulator, seed: int) -> float:
    """Return how many simulations a second are made in large batches.

    Batches are timed that grow until one takes two seconds; the first one, in which processes
    start, counts only if it takes long.
    """

    def timed(size: int) -> float:
        started = time.perf_counter()
        simulator.draw(size, seed, "speed")
        return time.perf_counter() - started

    size = 4
    seconds = timed(size)
    # Processes start in the first batch.
    if seconds > 10.0 * _SECONDS:
        return size / seconds
    while True:
        seconds = timed(size)
        if seconds > _SECONDS or size >= _MOST:
            return size / seconds
        size *= 4
