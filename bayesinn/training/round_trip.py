"""The round-trip monitor: reversible chains have correct gradients only if inverses are exact."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections import Bijection
from bayesinn.bijections.chain import reversible_chains, round_trip_errors
from bayesinn.training.callbacks import TrainingCallback


class RoundTripMonitor(TrainingCallback):
    """Checks reversible chains before training and after each epoch, on the same few rows.

    Each check uses the weights that the chains have by then. Of several networks, which one program
    trains, the worst decides for all.

    A chain that has become inexact says so once, and stores its activations while it is worse than
    that; see :meth:`Chain.check_round_trip`. What is decided depends on nothing but the weights, so
    that a run that is resumed decides the same. ``inputs`` returns the vectors (n, d) and
    conditions (n, c), or None, of those rows for each of the ``bijections`` of the first network.
    """

    def __init__(
        self,
        bijections: Sequence[Bijection],
        inputs: Callable[[], Sequence[tuple[tf.Tensor, tf.Tensor | None]]],
    ) -> None:
        super().__init__()
        self._bijections = bijections
        self._inputs = inputs
        self._chains = [chain for each in bijections for chain in reversible_chains(each)]
        # Compiled, like the training step: layer by layer it would take as long as a short epoch.
        self._errors = tf.function(self._find_worst_errors, autograph=False)
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
        state = [tf.convert_to_tensor(variable) for variable in self.model.network_state]
        errors = self._errors(tf.convert_to_tensor(self.model.flat), state).numpy()
        for chain, error in zip(self._chains, errors.tolist(), strict=True):
            chain.apply_round_trip_error(error)
        # A compiled step either stores activations or computes them again; both are kept.
        if self._stored() in self._train_functions:
            self.model.train_function = self._train_functions[self._stored()]
        else:
            self.model.make_train_function(force=True)

    def _find_worst_errors(self, flat: tf.Tensor, state: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the largest error of each chain over all networks; infinite where it is NaN."""
        layout = self.model.weight_layout
        found = []
        for weights, own in zip(layout.split(flat), layout.split_state(state), strict=True):
            held = zip(layout.first, layout.unpack(weights), strict=True)
            fixed = zip(layout.first_state, own, strict=True)
            with keras.StatelessScope([*held, *fixed], initialize_variables=False):
                pairs = zip(self._bijections, self._inputs(), strict=True)
                errors = [error for one, given in pairs for error in round_trip_errors(one, *given)]
            found.append(tf.stack(errors))
        worst = tf.stack(found)
        return tf.reduce_max(tf.where(tf.math.is_nan(worst), np.inf, worst), axis=0)

    def _stored(self) -> tuple[bool, ...]:
        return tuple(chain.stores_activations for chain in self._chains)
