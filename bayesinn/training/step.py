"""The training step: simulate, evaluate, update one flat vector, average, stop at bad numbers.

The vector holds all trainable weights. Bad numbers are losses or gradients that are not finite.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from bayesinn.core import seeds
from bayesinn.core.compilation import (
    compiled,
    compiled_by_xla,
    count_threads,
    has_gpu,
    is_for_xla,
    is_product,
    tracing_for_xla,
)
from bayesinn.core.errors import InputError, TrainingError, check_returned
from bayesinn.core.private_api import all_layers
from bayesinn.training.settings import STEPS_WORTH_UNROLLING, TrainingSettings
from bayesinn.training.sources import Source
from bayesinn.training.trainable import Batch, Trainable


class FlatWeights:
    """All trainable weights of networks as one vector, and what is not trained, ``state``.

    The networks have weights of equal shapes, and follow each other in the vector and in the state.
    A Keras model that holds this object doesn't see the weights in it: it trains the vector, not
    each of them.

    An optimiser's step over one vector costs a fraction of that over 72 separate weights, and
    traces in a fraction of the time; clipping by global norm, averaging and checkpoints become one
    operation each.
    """

    def __init__(self, networks: Sequence[keras.layers.Layer]) -> None:
        self.networks = networks
        self.members = len(networks)
        self.variables = [part for network in networks for part in network.trainable_variables]
        if not self.variables:
            raise InputError(
                "Network",
                expected="weights to train, made when it is initialised",
                got="none",
                do="call or build each layer in initialize",
            )
        self.state = [part for network in networks for part in network.non_trainable_variables]
        #: Those of the first network, which :meth:`unpack` is for.
        self.first = self.variables[: len(self.variables) // self.members]
        self.first_state = self.state[: len(self.state) // self.members]
        self._shapes = [tuple(variable.shape) for variable in self.first]
        self._sizes = [int(np.prod(shape, dtype=int)) for shape in self._shapes]
        #: Whether any weight has a constraint of Keras.
        self.constrained = any(part.constraint is not None for part in self.first)

    def refuse_late_weights(self) -> None:
        """Refuse weights made after the others: training leaves them out, and no file has them."""
        late = self.networks[0].variables[len(self.first) + len(self.first_state) :]
        if late:
            raise InputError(
                "Weights of a network",
                expected="all of them, when the network is initialised",
                got=f"{len(late)} more, made when the loss was first computed",
                do="call each layer in initialize, too, or build it there",
            )

    def pack(self) -> np.ndarray:
        """Return the networks' current weights."""
        return np.concatenate([np.ravel(variable.numpy()) for variable in self.variables])

    def split(self, vector: tf.Tensor) -> list[tf.Tensor]:
        """Return the part of the vector of each network."""
        return tf.split(vector, self.members)

    def split_state(self, state: Sequence[Any]) -> list[Sequence[Any]]:
        """Return the part of the state of each network."""
        size = len(self.first_state)
        return [state[start * size : (start + 1) * size] for start in range(self.members)]

    def unpack(self, vector: tf.Tensor) -> list[tf.Tensor]:
        """Split the vector of one network into a tensor for each weight."""
        parts = tf.split(vector, self._sizes)
        return [tf.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def penalty(self, weights: Sequence[tf.Tensor]) -> Any:
        """Return zero, with the gradient of Keras' regularisers of the weights of one network.

        Losses thus stay in nats.
        """
        each = [
            variable.regularizer(weight)
            for variable, weight in zip(self.first, weights, strict=True)
            if variable.regularizer is not None
        ]
        return sum(value - tf.stop_gradient(value) for value in each)

    def constrain(self, vector: tf.Tensor) -> tf.Tensor:
        """Return the weights of all networks as Keras' constraints of each weight change them."""
        values = [
            weight if variable.constraint is None else variable.constraint(weight)
            for part in self.split(vector)
            for variable, weight in zip(self.first, self.unpack(part), strict=True)
        ]
        return tf.concat([tf.reshape(value, [-1]) for value in values], 0)

    def assign(self, vector: Any) -> None:
        """Write a vector into the networks."""
        values = [
            value
            for part in self.split(tf.convert_to_tensor(vector))
            for value in self.unpack(part)
        ]
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)


def refuse_added_losses(losses: Sequence[Any]) -> None:
    """Refuse losses that a layer added by itself while it was called."""
    if losses:
        raise InputError(
            "Losses of a layer",
            expected="no add_loss and no activity_regularizer, which training leaves out",
            got=f"{len(losses)} of them",
            do="regularise weights: kernel_regularizer, or bi.Optimization(weight_decay=...)",
        )


Part = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

# TensorFlow's own keys of groups count from 1.
_GROUP = 0x62690000


class Devices:
    """Devices of this process, and its number among processes that train together.

    A ``tf.distribute`` strategy says which they are, and has started the servers through which
    processes talk. Its own loop is not used: weights are one vector, and a step needs one sum of
    gradients, inside of calls of many steps.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None) -> None:
        #: An empty name lets TensorFlow choose the device.
        self.names: Sequence[str] = ("",) if strategy is None else strategy.extended.worker_devices
        self.processes = 1 if strategy is None else strategy.num_replicas_in_sync // len(self.names)
        self.process = 0
        if strategy is not None and self.processes > 1:
            resolver = strategy.cluster_resolver
            # A chief, if there is one, comes before the workers.
            behind = resolver.task_type != "chief" and "chief" in resolver.cluster_spec().jobs
            self.process = int(resolver.task_id) + behind

    @property
    def chief(self) -> bool:
        """Whether this process writes what all would write alike."""
        return self.process == 0

    @contextlib.contextmanager
    def chief_first(self) -> Iterator[None]:
        """Let other processes run a ``with`` block after the chief.

        They then find what it wrote, and no longer what it removed.
        """
        if not self.chief:
            self.check_agreement("chief first", np.empty(0))
        yield
        if self.chief:
            self.check_agreement("chief first", np.empty(0))

    def sums(self, part: Part, parts: int, size: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Return sums of ``part(number)``, a number and vector (size,), over all parts of a batch.

        Devices work beside each other; each has its parts one after another, so that it needs the
        memory of one.
        """
        each = parts // (self.processes * len(self.names))
        start = self.process * each * len(self.names)
        results = []
        for place, name in enumerate(self.names):
            with tf.device(name):
                results.append(_in_turn(part, start + place * each, each, size))
        total, vector = (tf.add_n(terms) for terms in zip(*results, strict=True))
        if self.processes == 1:
            return total, vector
        both = self._sum_over_processes(tf.concat([total[None], vector], 0))
        return both[0], both[1:]

    def check_agreement(self, run: Any, weights: np.ndarray) -> None:
        """Refuse to train if ``run``, in plain values, or ``weights`` differ between processes."""
        if self.processes == 1:
            return
        digest = hashlib.sha256(json.dumps(run).encode() + weights.tobytes()).digest()
        values = np.frombuffer(digest, np.uint8).astype(np.float32)
        try:
            sums = self._sum_over_processes(
                tf.constant(np.concatenate([values, values**2]))
            ).numpy()
        except tf.errors.OpError as error:
            raise self.restate(error) from None
        # Of integers, so that sums are exact; all are equal if their variance is zero.
        total, squares = np.split(sums.astype(float), 2)
        if np.any(self.processes * squares != total**2):
            raise InputError(
                f"Training in {self.processes} processes",
                expected="the same data, networks, settings, seed and checkpoint in each of them",
                got="runs that differ",
                do="start the same script everywhere, on the same versions of all packages, and "
                "let a checkpoint that is resumed be in a folder that all can read",
            )

    def restate(self, error: Exception) -> Exception:
        """Return a clear error where another process is gone, else the error itself."""
        gone = tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError
        if self.processes == 1 or not isinstance(error, gone):
            return error
        names = re.findall(r"/job:\w+/(?:replica:\d+/)?task:\d+", str(error))
        return TrainingError(
            f"Training in {self.processes} processes",
            expected="all of them until the end",
            got=f"{names[0] if names else 'one'} that no longer answers",
            do="look at the output of the one that ended, and start all again, with a checkpoint "
            "to go on from",
        )

    def _sum_over_processes(self, vector: tf.Tensor) -> tf.Tensor:
        """Return the sum of a vector over processes, the same bits in each.

        TensorFlow's own all-reduce of a strategy can't be part of a loop over steps.
        """
        return tf.raw_ops.CollectiveReduceV2(
            input=vector,
            group_size=self.processes,
            group_key=_GROUP,
            # One for each shape. A counter would leave processes waiting forever once they differ
            # in what they call.
            instance_key=_GROUP + vector.shape[0],
            ordering_token=[],
            merge_op="Add",
            final_op="Id",
        )


def _in_turn(part: Part, start: int, count: int, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the sums over ``count`` parts from number ``start`` on, one after another."""
    if count == 1:
        return part(tf.constant(start))

    def add(number: tf.Tensor, *sums: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return number + 1, *(old + new for old, new in zip(sums, part(number), strict=True))

    nothing = tf.constant(start), tf.zeros(()), tf.zeros((size,))
    return tf.while_loop(
        lambda number, *_: number < start + count, add, nothing, parallel_iterations=1
    )[1:]


# Smallest batch that is split.
_FEWEST_ROWS = 64


class TrainingModel(keras.Model):
    """A Keras model whose one weight is the flat vector of a trainable's networks.

    Each network has its own loss, gradient and clipping, on the same batch. One program
    differentiates them all, one after another or beside each other.

    ``averaged`` is the moving average of the weights ``flat``, ``bad_step`` the number of the first
    step whose loss or gradient was not finite, or -1, and ``failed`` the number of failed
    simulations so far. A batch is split into ``most_shards`` parts or left whole.
    """

    def __init__(
        self,
        trainable: Trainable,
        source: Source,
        settings: TrainingSettings,
        devices: Devices = Devices(),
    ) -> None:
        super().__init__(name="training")
        if settings.parts > 1 and not trainable.rowwise:
            raise InputError(
                "A batch in parts",
                expected="losses of rows that depend on no other row",
                got="a loss of the whole batch",
                do="leave out strategy and accumulate",
            )
        self.problem = trainable
        self.source = source
        self.settings = settings
        self.devices = devices
        self.weight_layout = FlatWeights(trainable.members)
        self.shards = settings.parts
        self.most_shards = (
            most_shards(trainable, settings.batch_size) if settings.parts == 1 else settings.parts
        )
        self.differentiate = self._differentiate
        self.update = self._update
        self._noise_seed = seeds.tensor_seed(settings.seed, "dequantise")
        self._dropout_seed = seeds.tensor_seed(settings.seed, "dropout")
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
    def steps_done(self) -> int:
        """Steps since the beginning of the run; those of an epoch that was cut short count."""
        return min(int(self.optimizer.iterations.numpy()), self.settings.steps)

    @property
    def network_state(self) -> list[keras.Variable]:
        """The weights of the network that are not trained."""
        return self.weight_layout.state

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Metrics that Keras resets at the start of each epoch."""
        return [self.loss_mean]

    def train_step(self, element: tuple[Any, ...]) -> dict[str, tf.Tensor]:
        """Run one step; idle ones (number -1) and all after a bad one leave everything as it is."""
        step = element[0]
        batch, failed = self._batch(element)
        # As tensors: programs that hold the variables themselves would wait for each other, and XLA
        # refuses those of another device.
        flat = tf.convert_to_tensor(self.flat.value)
        state = self._network_state()
        if self.settings.parts > 1:

            def differentiate_part(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                part = self._part(batch, number)
                total, gradient, _ = self._differentiate_all(flat, state, part, step, number)
                return total, gradient

            total, gradient = self.devices.sums(
                differentiate_part, self.settings.parts, flat.shape[0]
            )
            self.update((total,), (gradient,), {}, step, failed)
            return {"loss": self.loss_mean.result()}
        parts = [
            self._differentiate_all(flat, state, part, step, tf.constant(shard))
            for shard, part in enumerate(self._parts(batch))
        ]
        totals, gradients, moved = zip(*parts, strict=True)
        self.update(totals, gradients, moved[0], step, failed)
        return {"loss": self.loss_mean.result()}

    def compile_step(self, element: tuple[tf.TensorSpec, ...]) -> str:
        """Compile the step, if the settings say so; return a note if XLA can't.

        A step has thousands of small operations, whose overhead costs more than their arithmetic;
        XLA fuses them. Two programs, gradient and update, as the gradient of each half of a batch
        has a core of its own: matrices of this size gain nothing from a second one. Simulations
        stay outside. ``element`` is what the source gives for a step.
        """
        xla = self.settings.xla
        if xla == "auto" and not (self.problem.xla_pays or has_gpu()):
            xla = False
        specs = tf.function(self._batch).get_concrete_function(element).structured_outputs
        batch, failed = tf.nest.map_structure(_zeros, specs)
        step = tf.constant(-1)
        flat = tf.convert_to_tensor(self.flat.value)
        for shards in (self.most_shards, 1):
            self.shards = shards
            member = self._members(flat, self._network_state())[0]
            part = *member, self._parts(batch)[0], step, tf.constant(0)
            gradient = compiled(self._differentiate, *part, xla=xla, subject="The training step")
            if not gradient.xla:
                self.shards = self.settings.parts
                return gradient.note
            traced = gradient.call.get_concrete_function(*part)  # type: ignore[attr-defined]
            total, slope, moved = traced.structured_outputs
            # Weights that follow the data, as those of batch normalisation, must see the whole
            # batch.
            if not moved or shards == 1:
                break
        total, _, moved = tf.nest.map_structure(_zeros, (total, slope, moved))
        slope = tf.zeros_like(flat)
        of_all: dict[str, tf.Tensor] = {}
        for number in range(self.weight_layout.members):
            of_all |= self._number_weights(moved, number)
        # With number -1 a step is idle and changes nothing.
        terms = shards if self.settings.parts == 1 else 1
        trial = terms * (total,), terms * (slope,), of_all, step, failed
        update = compiled(self._update, *trial, xla=xla, subject="The training step")
        self.differentiate = gradient.call
        self.update = update.call
        return update.note

    def make_train_function(self, force: bool = False) -> Any:
        """Make what runs many steps in a call; by force, with a step traced anew."""
        if force and self.differentiate != self._differentiate:
            self.differentiate = compiled_by_xla(self._differentiate)
        return super().make_train_function(force)

    def _batch(self, element: tuple[Any, ...]) -> tuple[Batch, tf.Tensor]:
        """Return the batch of a step and how many simulations have failed."""
        batch, failed = self.source.batch(element)
        # XLA compiles the gradient of a loop only if the number of rows is known.
        rows = tf.TensorShape(self.settings.batch_size)
        known = {
            name: tf.ensure_shape(value, rows.concatenate(value.shape[1:]))
            for name, value in batch.items()
        }
        return known, failed

    def _parts(self, batch: Batch) -> list[Batch]:
        size = self.settings.batch_size // self.shards
        starts = range(0, self.shards * size, size)
        return [
            {name: value[start : start + size] for name, value in batch.items()} for start in starts
        ]

    def _part(self, batch: Batch, number: tf.Tensor) -> Batch:
        size = self.settings.batch_size // self.settings.parts
        return {
            name: tf.gather(value, number * size + tf.range(size)) for name, value in batch.items()
        }

    def _members(
        self, flat: tf.Tensor, state: Sequence[tf.Tensor]
    ) -> list[tuple[tf.Tensor, Sequence[tf.Tensor], tf.Tensor]]:
        """Return weights, state and number of each network."""
        layout = self.weight_layout
        parts = zip(layout.split(flat), layout.split_state(state), strict=True)
        return [(*part, tf.constant(number)) for number, part in enumerate(parts)]

    def _differentiate_all(
        self,
        flat: tf.Tensor,
        state: Sequence[tf.Tensor],
        batch: Batch,
        step: tf.Tensor,
        shard: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
        """Return what :meth:`_differentiate` does, of all networks: the sum of losses is a mean."""
        totals = []
        gradients = []
        changes: dict[str, tf.Tensor] = {}
        for number, member in enumerate(self._members(flat, state)):
            total, gradient, moved = self.differentiate(*member, batch, step, shard)
            totals.append(total)
            gradients.append(gradient)
            changes |= self._number_weights(moved, number)
        mean = tf.add_n(totals) / len(totals)
        return mean, tf.concat(gradients, 0), changes

    def _number_weights(self, moved: Mapping[str, tf.Tensor], member: int) -> dict[str, tf.Tensor]:
        """Return weights that a network changed, numbered among those of all networks."""
        first = member * len(self.weight_layout.first_state)
        return {str(first + int(index)): value for index, value in moved.items()}

    def _differentiate(
        self,
        flat: tf.Tensor,
        state: Sequence[tf.Tensor],
        member: tf.Tensor,
        batch: Batch,
        step: tf.Tensor,
        shard: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
        """Return the sum of losses, its gradient, and changed non-trainable weights by number.

        They belong to one network, whose number is ``member``.
        """
        # In a long run, a loop that compiles sooner costs more than it saves.
        loops = is_for_xla() and self.settings.steps < STEPS_WORTH_UNROLLING
        with tracing_for_xla(loops), tf.GradientTape() as tape:
            tape.watch(flat)
            progress = tf.cast(step, tf.float32) / self.settings.steps
            losses, moved = self._row_losses(
                flat, state, batch, step, progress, training=True, member=member, shard=shard
            )
            total = tf.reduce_sum(losses)
        if moved and self.settings.parts > 1:
            raise InputError(
                "A batch in parts",
                expected="weights that don't follow the data",
                got="batch normalisation or the like",
                do="leave out batch normalisation, or the parts",
            )
        gradient = tape.gradient(total, flat)
        if gradient is None:
            raise InputError(
                f"{type(self.problem).__name__}.loss",
                expected="losses that depend on the weights of the network",
                got="losses that don't",
                do="compute them by TensorFlow operations from what self.network returns",
            )
        return total, gradient, moved

    def _update(
        self,
        totals: Sequence[tf.Tensor],
        gradients: Sequence[tf.Tensor],
        moved: Mapping[str, tf.Tensor],
        step: tf.Tensor,
        failed: tf.Tensor,
    ) -> None:
        rows = self.settings.batch_size
        loss = tf.add_n(totals) / rows
        slopes = self.weight_layout.split(tf.add_n(gradients) / rows)
        norms = [tf.norm(slope) for slope in slopes]
        finite = tf.math.is_finite(loss) & tf.math.is_finite(tf.add_n(norms))
        active = (step >= 0) & (self.bad_step < 0)
        good = finite & active
        # Values are selected, not branches: a branch would make the host wait for the device in
        # every step.
        most = self.settings.clip_norm
        clipped = [
            slope * (most / tf.maximum(norm, most))
            for slope, norm in zip(slopes, norms, strict=True)
        ]
        self._update_weights(tf.concat(clipped, 0), step, good)
        for number, value in moved.items():
            variable = self.network_state[int(number)]
            variable.assign(tf.where(good, value, variable.value))
        self.loss_mean.update_state(
            tf.where(good, loss, 0.0), sample_weight=tf.cast(good, loss.dtype)
        )
        self.failed.assign_add(tf.where(good, tf.cast(failed, tf.int32), 0))
        self.bad_step.assign(tf.where(active & ~finite, step, self.bad_step.value))

    def test_step(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """Evaluate some validation rows with averaged weights, no dropout and fixed noise.

        The noise is the same in every evaluation.
        """
        batch = {name: tf.gather(value, rows) for name, value in self.validation_arrays.items()}
        each = [
            self._row_losses(
                weights,
                state,
                batch,
                tf.constant(0),
                tf.constant(1.0),
                training=False,
                member=number,
            )[0]
            for weights, state, number in self._members(self.averaged.value, self._network_state())
        ]
        losses = self.problem.mix_losses(tf.stack(each))
        self.loss_mean.update_state(
            tf.reduce_mean(losses), sample_weight=tf.cast(tf.size(rows), losses.dtype)
        )
        return {"loss": self.loss_mean.result()}

    def _update_weights(self, gradient: tf.Tensor, step: tf.Tensor, good: tf.Tensor) -> None:
        variables = [self.flat, self.averaged, *self.optimizer.variables]
        before = [tf.identity(variable.value) for variable in variables]
        self.optimizer.apply([gradient], [self.flat])
        if self.weight_layout.constrained:
            self.flat.assign(self.weight_layout.constrain(self.flat.value))
        # The average forgets the initial weights quickly at first, or short runs would never lose
        # them.
        count = tf.cast(step, tf.float32)
        decay = tf.minimum(self.settings.average, (1.0 + count) / (10.0 + count))
        self.averaged.assign(decay * self.averaged + (1.0 - decay) * self.flat)
        for variable, old in zip(variables, before, strict=True):
            variable.assign(tf.where(good, variable.value, old))

    def _row_losses(
        self,
        flat: tf.Tensor,
        state: Sequence[tf.Tensor],
        batch: Batch,
        step: tf.Tensor,
        progress: Any,
        training: bool,
        member: tf.Tensor,
        shard: Any = 0,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Return losses (n,) of part of a batch, and changed non-trainable weights by number."""
        layout = self.weight_layout
        number = step * self.shards + shard
        first = member * len(layout.first_state)
        current = [
            (
                variable,
                self._random_state(first + index, number) if _is_random_state(variable) else value,
            )
            for index, (variable, value) in enumerate(zip(layout.first_state, state, strict=True))
        ]
        weights = layout.unpack(flat)
        held = [*zip(layout.first, weights, strict=True), *current]
        with keras.StatelessScope(held, collect_losses=True, initialize_variables=False) as scope:
            losses = self.problem.loss(
                batch, seeds.fold_in(self._noise_seed, number), progress, training
            )
        refuse_added_losses(scope.losses)
        layout.refuse_late_weights()
        check_returned(
            f"{type(self.problem).__name__}.loss",
            "result",
            losses,
            (next(iter(batch.values())).shape[0],),
            "(n,), a loss for each row of the batch",
            "use operands of equal shapes: (n, 1) and (n,) give (n, n)",
        )
        moved = {
            str(index): new
            for index, (variable, old) in enumerate(current)
            if (new := scope.get_current_value(variable)) is not old
            and not _is_random_state(variable)
        }
        return losses + layout.penalty(weights), moved

    def _network_state(self) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(variable) for variable in self.network_state]

    def _random_state(self, number: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Return the state of a Keras seed generator, a pure function of the seed and the step."""
        return tf.bitcast(seeds.fold_in(seeds.fold_in(self._dropout_seed, number), step), tf.uint32)


def most_shards(trainable: Trainable, batch_size: int) -> int:
    """Return the number of parts of a batch: two on a CPU with two threads.

    The losses of rows must be independent for that.
    """
    if count_threads() < 2 or has_gpu() or not trainable.rowwise:
        return 1
    return 1 if batch_size % 2 or batch_size < _FEWEST_ROWS else 2


def _is_random_state(variable: keras.Variable) -> bool:
    return "seed_generator_state" in variable.name


def _zeros(spec: tf.TensorSpec) -> tf.Tensor:
    return tf.zeros(spec.shape, spec.dtype)


# Mixed precision: dense layers and convolutions train in bfloat16, all else as ever.
#
# These layers compute in bfloat16 while a network is trained, and only then.


@contextlib.contextmanager
def mixed_precision(trainable: Trainable, wanted: bool) -> Iterator[None]:
    """Compute products with weights in bfloat16 inside of a ``with`` block, if that is ``wanted``.

    Weights stay in single precision, and so does what lies between two such layers, activations
    included: the code of summaries and bijections sees no other dtype. The block is around all of
    training, not only the trace of the loss: reversible chains evaluate their networks again for
    the gradient, and must see the same values. What is trained first, alone, stays in single
    precision, too.
    """
    kept = [
        (layer, layer.dtype_policy, layer.activation)
        for layer in (_layers(trainable) if wanted else ())
    ]
    try:
        for layer, _, activation in kept:
            layer.dtype_policy = "mixed_bfloat16"
            layer.activation = _of_single(activation)
        yield
    finally:
        for layer, policy, activation in kept:
            layer.dtype_policy = policy
            layer.activation = activation


def _layers(trainable: Trainable) -> list[layers.Layer]:
    first = trainable.pretraining()
    exact = set() if first is None else {id(layer) for layer in all_layers(first.network)}
    every = all_layers(trainable.network)
    return [layer for layer in every if is_product(layer) and id(layer) not in exact]


def _of_single(activation: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return an activation that is computed in single precision.

    Layers without one have the identity.
    """
    return lambda x: activation(tf.cast(x, tf.float32))
