"""The round-trip monitor: reversible chains have correct gradients only if inverses are exact."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from bayesinn.bijections import Bijection
from bayesinn.bijections.chain import reversible_chains, round_trip_errors
from bayesinn.training.callbacks import TrainingCallback


class RoundTripMonitor(TrainingCallback):
    """Checks reversible chains before training and after each epoch, on the same few rows.

    Each check uses the weights that the chains have by then.

    A chain that has become inexact says so once, and stores its activations while it is worse than
    that; see :meth:`Chain.check_round_trip`. What is decided depends on nothing but the weights, so
    that a run that is resumed decides the same. ``inputs`` returns the vectors (n, d) and
    conditions (n, c), or None, of those rows.
    """

    def __init__(
        self, bijection: Bijection, inputs: Callable[[], tuple[tf.Tensor, tf.Tensor | None]]
    ) -> None:
        super().__init__()
        self._chains = reversible_chains(bijection)
        # Compiled, like the training step: layer by layer it would take as long as a short epoch.
        self._errors = tf.function(lambda: round_trip_errors(bijection, *inputs()), autograph=False)
        self._train_functions: dict[tuple[bool, ...], Any] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        """Check the first weights, which are those of a checkpoint if a run is resumed."""
        self._check()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not self.model.broken:
            self._check()

    def _check(self) -> None:
        if not self._chains:
            return
        self._train_functions[self._stored()] = self.model.train_function
        self.model.weight_layout.assign(self.model.flat.value)
        for chain, error in zip(self._chains, self._errors(), strict=True):
            chain.apply_round_trip_error(float(error))
        # A compiled step either stores activations or computes them again; both are kept.
        if self._stored() in self._train_functions:
            self.model.train_function = self._train_functions[self._stored()]
        else:
            self.model.make_train_function(force=True)

    def _stored(self) -> tuple[bool, ...]:
        return tuple(chain.stores_activations for chain in self._chains)
