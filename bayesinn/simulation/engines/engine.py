"""The contract of engines: what runs a forward model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.errors import InputError, SimulatorError
from bayesinn.simulation.engines.constants import Constants, constants_of
from bayesinn.simulation.engines.failures import FailurePolicy
from bayesinn.simulation.engines.kept import KeptBlocks
from bayesinn.simulation.engines.model import Declaration
from bayesinn.simulation.engines.outcome import Outcome
from bayesinn.simulation.simulations import Arrays, Simulations

if TYPE_CHECKING:
    from distributed import Client


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
