"""The contract of engines: a forward model, what runs it, what becomes of draws that fail."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import tensorflow as tf
from scipy import special

from bayesinn.core import seeds
from bayesinn.core.compilation import map_tensors
from bayesinn.core.errors import InputError, SimulatorError
from bayesinn.simulation.checks import finite_rows
from bayesinn.simulation.engines.constants import Constants, constants_of
from bayesinn.simulation.engines.kept import KeptBlocks
from bayesinn.simulation.engines.worker import Failure, Outcome, describe_call
from bayesinn.simulation.prior import Prior, Values
from bayesinn.simulation.simulations import MOST_REDRAWS, Arrays, Simulations, take

if TYPE_CHECKING:
    from distributed import Client


class Declaration(NamedTuple):
    """A forward model and what an engine needs to know about it, as :class:`Simulator` names it."""

    name: str
    function: Callable[..., Any]
    prior: Prior
    context: Prior | None
    on_nonfinite: str
    lengths: Mapping[str, str]
    missing: float | None = None
    time_limit: float | None = None
    most_failures: float | None = None

    @property
    def priors(self) -> tuple[Prior, ...]:
        """The prior of the parameters, and that of the context if there is one."""
        return (self.prior,) if self.context is None else (self.prior, self.context)

    def draw_inputs(
        self, n: int | tf.Tensor, seed: tf.Tensor, context_seed: tf.Tensor
    ) -> tuple[Values, Values]:
        """Draw n parameters and contexts; without a context the second dict is empty."""
        context = {} if self.context is None else self.context.sample(n, context_seed)
        return self.prior.sample(n, seed), context


# What becomes of simulations that fail: the one policy of all engines, for arrays and in graphs.
#
# A simulation has failed if it raised, took too long or ended its worker, or if it is not finite
# where it must be.

#: Failures are over their limit if chance makes so many with a lower probability: long runs look at
#: them often.
_CHANCE = 1e-6

#: Simulates a number of rows; the second argument is the number of the attempt.
type DrawRows = Callable[[int, int], tuple[Arrays, Arrays, Outcome]]
#: Simulates a number of rows in a graph: parameters, context and observables, and which are finite.
type DrawInGraph = Callable[[Any, tf.Tensor], tuple[Any, tf.Tensor]]


class FailurePolicy:
    """Policy for failed simulations: "raise", "redraw", or "keep" them in place.

    ``mark`` stands for failures that are kept: NaN; infinity if NaN is a missing value. ``example``
    tells why the last simulation failed that was drawn again, and how it was called; ``error`` why
    the last one gave no result, or is empty if all gave one.
    """

    def __init__(self, declared: Declaration) -> None:
        self.declared = declared
        self.redraws = declared.on_nonfinite == "redraw"
        self.mark = np.nan if declared.missing is None else np.inf
        self.example = ""
        self.error = ""

    def check_limit(self, good: int, failed: int) -> None:
        """Raise if more than ``most_failures`` of draws failed, and chance doesn't explain it."""
        limit = self.declared.most_failures
        # The probability of so many failures or more if each draw fails with that of the limit.
        if limit is None or not failed or special.betainc(failed, good + 1, limit) > _CHANCE:
            return
        expected = (
            f"at most {100 * limit:.3g} % of all draws to fail, as most_failures={limit:g} says"
        )
        got = f"{100 * failed / (good + failed):.3g} %, {failed:,} of {good + failed:,}"
        if self.example:
            got += f"; the last: {self.example}"
        raise SimulatorError(
            f"Simulator {self.declared.name!r}",
            expected=expected,
            got=got,
            do=(
                "look which parameters fail, bi.simulator_report(simulator); correct it, narrow "
                "the prior, or declare a larger most_failures: the same command then goes on from "
                "what is finished"
            ),
        )

    def raise_failure(self, failed: dict[int, Failure], redraws: int = 0) -> None:
        """Raise the error of the first simulation that gave no result, if there is one."""
        if not failed or self.declared.on_nonfinite == "keep":
            return
        row, failure = next(iter(failed.items()))
        subject = f"Simulation of row {row} of simulator {self.declared.name!r}"
        do = "correct it, or declare on_nonfinite='redraw' to draw such rows again"
        if self.redraws:
            subject = f"{subject}, after {redraws} redraws"
            do = "correct it, or narrow the prior"
        raise SimulatorError(
            subject,
            expected="a result",
            got=failure.error,
            do=f"{do}; it was called with {failure.call}",
        )

    def draw(
        self,
        n: int,
        draw_rows: DrawRows,
        lose_values: Callable[[Arrays, int], Arrays] | None = None,
        in_place: bool = True,
    ) -> Simulations:
        """Return n simulations that ``draw_rows`` makes, and the number of those that failed.

        What replaces a failed simulation is put ``in_place``, or else behind all before it.
        ``lose_values`` gets the observables of an attempt after failures were found, which would be
        lost, too. Rows that are not finite after the last attempt are there.
        """
        parts: list[list[Arrays]] = []
        places: list[np.ndarray] = []
        waiting = np.arange(n)
        failed = 0
        most = MOST_REDRAWS if self.redraws else 0
        for attempt in range(1 + most):
            if failed:
                self.check_limit(n - len(waiting), failed)
            parameters, context, outcome = draw_rows(len(waiting), attempt)
            last = attempt == most
            if last:
                self.raise_failure(outcome.failed, attempt)
            observables = outcome.complete(None if self.redraws else self.mark)
            broken = self._broken_rows(outcome, observables, context)
            failed += int(broken.sum())
            self._note(outcome, broken, parameters, context)
            if lose_values is not None and observables:
                observables = lose_values(observables, attempt)
            if observables or last:
                kept = ~broken | last
                parts.append([take(part, kept) for part in (parameters, context, observables)])
                places.append(waiting[kept])
            waiting = waiting[broken]
            if not len(waiting):
                break
        joined = map_tensors(lambda *values: np.concatenate(values), *parts)
        if in_place and len(parts) > 1:
            order = np.argsort(np.concatenate(places))
            joined = [take(part, order) for part in joined]
        return Simulations(joined[0], joined[1], joined[2], failed)

    def _note(
        self, outcome: Outcome, broken: np.ndarray, parameters: Arrays, context: Arrays
    ) -> None:
        """Keep why the last simulations failed."""
        for failure in outcome.failed.values():
            self.error = f"{failure.error}, called with {failure.call}"
        if broken.any():
            self.example = _describe(outcome, int(np.argmax(broken)), parameters, context)

    def _broken_rows(self, outcome: Outcome, observables: Arrays, context: Arrays) -> np.ndarray:
        """Return which rows (n,) gave no result, or one that is not finite where it must be."""
        broken = np.zeros(outcome.rows, bool)
        broken[list(outcome.failed)] = True
        for finite in finite_rows(observables, context, self.declared).values():
            broken |= ~finite
        return broken

    def finite_in_graph(
        self, n: int | tf.Tensor, observables: Values, context: Values
    ) -> tf.Tensor:
        """Return which rows (n,) are finite where they must be, as ``finite_rows`` does."""
        finite = tf.ones(tf.reshape(n, (1,)), tf.bool)
        for name, value in observables.items():
            if not value.dtype.is_floating:
                continue
            # Networks compute in single precision.
            cells = tf.math.is_finite(tf.cast(value, tf.float32))
            if self.declared.missing is not None:
                cells |= tf.math.is_nan(value)
            counts = context.get(self.declared.lengths.get(name, ""))
            # A wrong declaration of lengths is reported elsewhere.
            if counts is not None and counts.shape.rank == 1 and value.shape.rank > 1:
                beyond = ~tf.sequence_mask(tf.cast(counts, tf.int32), tf.shape(value)[1])
                channels = (value.shape.rank - 2) * [1]
                cells |= tf.reshape(beyond, tf.concat([tf.shape(beyond), channels], axis=0))
            finite &= tf.reduce_all(cells, axis=tuple(range(1, value.shape.rank)))
        return finite

    def draw_in_graph(
        self, n: int | tf.Tensor, seed: tf.Tensor, draw_once: DrawInGraph, specs: Any
    ) -> Simulations:
        """Return n simulations as :meth:`draw` does, in a graph.

        Some more are drawn than asked for, so that a second run is rare. ``specs`` are the shapes
        and types of what ``draw_once`` makes.
        """
        rows = n + spare_rows(n)

        def fill(attempt: tf.Tensor, finite: tf.Tensor, failed: tf.Tensor, batch: Any) -> Any:
            fresh, fresh_finite = draw_once(rows, seeds.fold_in(seed, attempt))
            missing = n - _count(finite)
            candidates = tf.concat([finite, fresh_finite], axis=0)
            order = _true_first(candidates, n)
            good = _count(fresh_finite)
            # Fresh rows are candidates from n on. Those after the last one that was needed have not
            # failed.
            used = order[-1] + 1 - n
            failed += tf.where(good >= missing, used - missing, rows - good)
            both = tf.nest.map_structure(
                lambda before, new: tf.concat([before, new], axis=0), batch, fresh
            )
            batch = tf.nest.map_structure(lambda values: tf.gather(values, order), both)
            return attempt + 1, tf.gather(candidates, order), failed, batch

        nothing = tf.nest.map_structure(
            lambda spec: tf.zeros((n, *spec.shape[1:]), spec.dtype), specs
        )
        _, _, failed, batch = tf.while_loop(
            lambda attempt, finite, *_: tf.reduce_any(~finite) & (attempt <= MOST_REDRAWS),
            fill,
            (tf.constant(0), tf.zeros((n,), tf.bool), tf.constant(0), nothing),
        )
        return Simulations(batch[0], batch[1], batch[2], failed)


def spare_rows(n: Any) -> Any:
    """Return the number of extra rows for a simulator that fails now and then.

    The result is a plain number if n is a plain number: compiled graphs need fixed shapes.
    """
    if isinstance(n, int):
        return n // 8 + math.isqrt(4 * n)
    return n // 8 + tf.cast(tf.sqrt(tf.cast(4 * n, tf.float64)), n.dtype)


def _describe(outcome: Outcome, row: int, parameters: Arrays, context: Arrays) -> str:
    """Say why the simulation of a row failed, and how it was called."""
    failure = outcome.failed.get(row)
    if failure is not None:
        return f"{failure.error}, called with {failure.call}"
    inputs = [
        {name: value[row].tolist() for name, value in part.items()}
        for part in (parameters, context)
    ]
    return f"NaN or infinity, called with {describe_call(inputs[0], inputs[1])}"


def _true_first(holds: tf.Tensor, n: int | tf.Tensor) -> tf.Tensor:
    """Return indices (n,) of true elements, in order, then of the last false one.

    XLA compiles a sort for very long.
    """
    place = tf.cumsum(tf.cast(holds, tf.int32)) - 1
    order = tf.math.unsorted_segment_sum(
        tf.range(tf.size(holds)), tf.where(holds & (place < n), place, -1), n
    )
    other = tf.size(holds) - 1 - tf.argmin(holds[::-1], output_type=tf.int32)
    return tf.where(tf.range(n) < _count(holds), order, other)


_count = functools.partial(tf.math.count_nonzero, dtype=tf.int32)


class Engine(ABC):
    """Runs the forward model of a declaration.

    An author writes :meth:`simulate` and :meth:`start`. Seeds are entropy, a list of integers as
    :func:`bayesinn.core.seeds.entropy` gives; results are pure functions of all arguments.

    Attributes
    ----------
    declared : Declaration
    policy : FailurePolicy
        What becomes of simulations that fail; :meth:`simulate` leaves them to its callers.
    in_graph : bool
        Whether the forward model is made of TensorFlow operations: :meth:`draw` may be traced.
    simulates : bool
        Whether there is a forward model to run.
    batched : bool
        Whether a call takes many draws.
    kind : str
        Name of this way to simulate, by which banks and posteriors know it.
    workers : int
        Number of processes that simulate beside this one.
    autograph : bool
        Whether :meth:`draw` needs TensorFlow's AutoGraph.
    """

    in_graph: ClassVar[bool] = False
    simulates: ClassVar[bool] = True
    batched = False
    kind = "python"
    workers = 0
    autograph = False
    #: Finished blocks of costly simulations, while a run wants them kept.
    kept: KeptBlocks | None = None

    def __init__(self, declared: Declaration) -> None:
        self.declared = declared
        self.policy = FailurePolicy(declared)

    @abstractmethod
    def simulate(
        self, parameters: Arrays, context: Arrays, entropy: list[int], progress: bool = False
    ) -> Outcome:
        """Run the forward model for given parameters and context, arrays in and out.

        Without redraws, which a policy of "raise" doesn't have, it may return after the first
        failure.
        """

    @abstractmethod
    def start(self, n: int, entropy: list[int]) -> Callable[[], Simulations]:
        """Start n simulations; return a function that waits for them, with the policy applied."""

    def sample(self, n: int, seed: int, stream: str, *keys: int) -> Simulations:
        """Draw n simulations from a seed's stream, as arrays."""
        return self.start(n, seeds.entropy(seed, stream, *keys))()

    def trial(self, rows: int) -> Arrays:
        """Return observables of a few rows, which tell their shapes and types."""
        return self.sample(rows, 0, "pilot").observables

    def repeat(self, parameters: Arrays, context: Arrays, seed: int) -> Outcome:
        """Run the forward model as it is now, to compare it with what it gave before."""
        return self.without_policy().simulate(parameters, context, seeds.entropy(seed, "identity"))

    def _read_constants(self) -> Constants:
        """Return what the forward model and functions of the priors read at this moment."""
        entries = [entry for prior in self.declared.priors for entry in prior.entries.values()]
        return constants_of(self.declared.function, *entries)

    @abstractmethod
    def renew(self, declared: Declaration, workers: int | None = None) -> Self:
        """Return a new engine that runs the function of a declaration in the same way."""

    def without_policy(self) -> Self:
        """Return an engine that leaves failed simulations in place, marked as such."""
        engine = self.renew(self.declared._replace(on_nonfinite="keep", most_failures=None))
        engine.kept = None
        return engine

    def on_cluster(self, client: Client) -> Self:
        """Return an engine whose workers are those of a Dask cluster; it gives the same results."""
        raise InputError(
            "Argument 'cluster'",
            expected="a simulator in Python, or an external program",
            got=f"{self.declared.name!r}, made of TensorFlow operations",
            do="leave the cluster out: it runs in this program, on its GPU if there is one",
        )

    def draw(self, n: int | tf.Tensor, seed: tf.Tensor) -> Simulations:
        """Draw n simulations from a seed (2,), inside a graph; only for engines ``in_graph``."""
        raise NotImplementedError

    def explain(self, error: Exception, n: int, seed: tf.Tensor) -> SimulatorError:
        """Return the error of :meth:`draw` as one that names the parameters, as far as possible."""
        raise NotImplementedError


def tensor_state(entropy: list[int]) -> np.ndarray:
    """Return TensorFlow's seed (2,) of some entropy."""
    return np.random.SeedSequence(entropy).generate_state(2).astype(np.int32)


class NoEngine(Engine):
    """Refuses to simulate; ``shapes`` and ``dtypes`` of its observables are declared."""

    kind = "arrays"
    simulates = False

    def __init__(
        self,
        declared: Declaration,
        shapes: Mapping[str, tuple[int, ...]],
        dtypes: Mapping[str, np.dtype],
    ) -> None:
        super().__init__(declared)
        self._shapes = dict(shapes)
        self._dtypes = dict(dtypes)

    def trial(self, rows: int) -> Arrays:
        return {
            name: np.zeros((rows, *shape), self._dtypes.get(name, np.float32))
            for name, shape in self._shapes.items()
        }

    def simulate(
        self, parameters: Arrays, context: Arrays, entropy: list[int], progress: bool = False
    ) -> Outcome:
        raise no_function(self.declared.name)

    def start(self, n: int, entropy: list[int]) -> Callable[[], Simulations]:
        raise no_function(self.declared.name)

    def renew(self, declared: Declaration, workers: int | None = None) -> Self:
        return type(self)(declared, self._shapes, self._dtypes)


class NoFunction:
    """What stands in the place of the function of a model that has none."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, parameters: Any, *others: Any) -> Any:
        """Refuse: there is nothing to simulate with."""
        raise no_function(self.__name__)


def no_function(name: str) -> InputError:
    """Return the error of whatever would have to simulate."""
    return InputError(
        f"Simulations of {name!r}",
        expected="a function that simulates",
        got="a model of bi.from_arrays, which has none",
        do=(
            "pass arrays: posterior.fit(arrays), bi.diagnose(posterior, data=held_out); or write "
            "the function and declare it with @bi.simulator"
        ),
    )
