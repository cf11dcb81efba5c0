"""The training step: simulate, evaluate, update one flat weight vector, average, and stop at the first bad number."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import compiled
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import Source
from bayesinn.training.trainable import Batch, Trainable


class FlatWeights:
    """All trainable weights of a built network as one vector (size,).

    An optimiser's step over one vector costs a fraction of that over 72 separate weights, and traces in a fraction of
    the time; clipping by global norm, averaging and checkpoints become one operation each.
    """

    def __init__(self, network: keras.layers.Layer) -> None:
        self.variables = network.trainable_variables
        self._shapes = [tuple(variable.shape) for variable in self.variables]
        self._sizes = [int(np.prod(shape, dtype=int)) for shape in self._shapes]

    def pack(self) -> np.ndarray:
        """Return the network's current weights."""
        return np.concatenate([np.ravel(variable.numpy()) for variable in self.variables])

    def unpack(self, vector: tf.Tensor) -> list[tf.Tensor]:
        """Split a vector into one tensor for each weight."""
        parts = tf.split(vector, self._sizes)
        return [tf.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def assign(self, vector: Any) -> None:
        """Write a vector into the network."""
        for variable, value in zip(self.variables, self.unpack(tf.convert_to_tensor(vector)), strict=True):
            variable.assign(value)


class TrainingModel(keras.Model):
    """A Keras model whose one weight is the flat vector of a trainable's network.

    ``averaged`` is the moving average of the weights ``flat``, ``bad_step`` the number of the first step whose loss or
    gradient was not finite, or -1, and ``failed`` the number of failed simulations so far.
    """

    def __init__(self, trainable: Trainable, source: Source, settings: TrainingSettings) -> None:
        super().__init__(name="training")
        # Outside of Keras' attribute tracking, or every weight of the network would be optimised twice.
        self.__dict__.update(
            problem=trainable,
            source=source,
            settings=settings,
            weight_layout=FlatWeights(trainable.network),
            network_state=trainable.network.non_trainable_variables,
            run_step=self._run_step,
            _noise_seed=seeds.tensor_seed(settings.seed, "dequantise"),
            _dropout_seed=seeds.tensor_seed(settings.seed, "dropout"),
        )
        initial = self.weight_layout.pack()
        self.flat = keras.Variable(initial, name="flat")
        self.averaged = keras.Variable(initial, trainable=False, name="averaged")
        self.bad_step = keras.Variable(np.int32(-1), trainable=False, name="bad_step")
        self.failed = keras.Variable(np.int32(source.failed_before), trainable=False, name="failed")
        self.loss_mean = keras.metrics.Mean("loss")
        self.validation_arrays: dict[str, tf.Tensor] = {}
        self.built = True

    @property
    def broken(self) -> bool:
        """Whether a step was bad; from then on nothing is updated."""
        return int(self.bad_step.numpy()) >= 0

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Metrics that Keras resets at the start of each epoch."""
        return [self.loss_mean]

    def train_step(self, element: tuple[Any, ...]) -> dict[str, tf.Tensor]:
        """Run one step; idle ones (number -1) and all after a bad one leave everything as it is."""
        self.run_step(element[0], *self.source.batch(element))
        return {"loss": self.loss_mean.result()}

    def compile_step(self, element: tuple[tf.TensorSpec, ...]) -> str:
        """Compile the step as one program, if the settings say so; return a note if XLA can't.

        Simulations stay outside. A step has thousands of small operations, whose overhead costs more than their
        arithmetic; XLA fuses them. ``element`` is what the source gives for a step.
        """
        batch = tf.function(self.source.batch).get_concrete_function(element).structured_outputs
        # A trial with number -1 is idle and changes nothing.
        trial = tf.constant(-1), *tf.nest.map_structure(self._zeros, batch)
        step = compiled(self._run_step, *trial, xla=self.settings.xla, subject="The training step")
        if step.xla:
            self.__dict__["run_step"] = step.call
        return step.note

    def make_train_function(self, force: bool = False) -> Any:
        """Make what runs many steps in a call; by force, with a step traced anew."""
        if force and self.run_step != self._run_step:
            self.__dict__["run_step"] = tf.function(self._run_step, autograph=False, jit_compile=True)
        return super().make_train_function(force)

    def _zeros(self, spec: tf.TensorSpec) -> tf.Tensor:
        return tf.zeros([self.settings.batch_size if n is None else n for n in spec.shape], spec.dtype)

    def _run_step(self, step: tf.Tensor, batch: Batch, failed: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            progress = tf.cast(step, tf.float32) / self.settings.steps
            loss, moved = self._loss(self.flat, batch, step, progress, training=True)
        gradient = tape.gradient(loss, self.flat.value)
        norm = tf.norm(gradient)
        finite = tf.math.is_finite(loss) & tf.math.is_finite(norm)
        active = (step >= 0) & (self.bad_step < 0)
        good = finite & active
        # Values are selected, not branches: a branch would make the host wait for the device in every step.
        self._update_weights(gradient, norm, step, good)
        for variable, value in moved:
            variable.assign(tf.where(good, value, variable.value))
        self.loss_mean.update_state(tf.where(good, loss, 0.0), sample_weight=tf.cast(good, loss.dtype))
        self.failed.assign_add(tf.where(good, tf.cast(failed, tf.int32), 0))
        self.bad_step.assign(tf.where(active & ~finite, step, self.bad_step.value))

    def test_step(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """Evaluate some rows of the validation set with averaged weights, no dropout, and the same noise every time."""
        batch = {name: tf.gather(value, rows) for name, value in self.validation_arrays.items()}
        loss, _ = self._loss(self.averaged, batch, tf.constant(0), tf.constant(1.0), training=False)
        self.loss_mean.update_state(loss, sample_weight=tf.cast(tf.size(rows), loss.dtype))
        return {"loss": self.loss_mean.result()}

    def _update_weights(self, gradient: tf.Tensor, norm: tf.Tensor, step: tf.Tensor, good: tf.Tensor) -> None:
        variables = [self.flat, self.averaged, *self.optimizer.variables]
        before = [tf.identity(variable.value) for variable in variables]
        clipped = gradient * (self.settings.clip_norm / tf.maximum(norm, self.settings.clip_norm))
        self.optimizer.apply([clipped], [self.flat])
        # The average forgets the initial weights quickly at first, or short runs would never lose them.
        count = tf.cast(step, tf.float32)
        decay = tf.minimum(self.settings.average, (1.0 + count) / (10.0 + count))
        self.averaged.assign(decay * self.averaged + (1.0 - decay) * self.flat)
        for variable, old in zip(variables, before, strict=True):
            variable.assign(tf.where(good, variable.value, old))

    def _loss(
        self, flat: keras.Variable, batch: Batch, step: tf.Tensor, progress: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, list[tuple[keras.Variable, tf.Tensor]]]:
        """Return the mean loss of a batch, and the non-trainable weights that changed."""
        state = [(variable, self._state(number, step)) for number, variable in enumerate(self.network_state)]
        weights = zip(self.weight_layout.variables, self.weight_layout.unpack(flat.value), strict=True)
        with keras.StatelessScope([*weights, *state], initialize_variables=False) as scope:
            noise_seed = seeds.fold_in(self._noise_seed, step)
            losses = self.problem.loss(batch, noise_seed, progress, training)
        moved = [
            (variable, new)
            for variable, old in state
            if (new := scope.get_current_value(variable)) is not old and not _is_random_state(variable)
        ]
        return tf.reduce_mean(losses), moved

    def _state(self, number: int, step: tf.Tensor) -> tf.Tensor:
        """Return a non-trainable weight; that of a Keras seed generator is a pure function of the seed and the step."""
        if not _is_random_state(self.network_state[number]):
            return tf.convert_to_tensor(self.network_state[number])
        return tf.bitcast(seeds.fold_in(seeds.fold_in(self._dropout_seed, number), step), tf.uint32)


def _is_random_state(variable: keras.Variable) -> bool:
    return "seed_generator_state" in variable.name
