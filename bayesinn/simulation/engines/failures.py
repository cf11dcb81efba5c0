"""What becomes of simulations that fail: the one policy of all engines, for arrays and in graphs.

A simulation has failed if it raised, took too long or ended its worker, or if it is not finite
where it must be.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from scipy import special

from bayesinn.core import seeds
from bayesinn.core.compilation import map_tensors
from bayesinn.core.errors import SimulatorError
from bayesinn.simulation.engines.model import Declaration
from bayesinn.simulation.engines.outcome import Failure, Outcome
from bayesinn.simulation.engines.worker import describe_call
from bayesinn.simulation.finite import finite_rows
from bayesinn.simulation.prior import Values
from bayesinn.simulation.simulations import MOST_REDRAWS, Arrays, Simulations, take

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
