"""Integers of few values by a probability for each, then another flow of what is left."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.bijections import Bijection
from bayesinn.bijections.autoregressive import MaskedNetwork
from bayesinn.bijections.bijection import EVERY, FEATURES, Condition, map_entries
from bayesinn.bijections.coupling import Perceptron
from bayesinn.core import seeds
from bayesinn.core.errors import InputError, check_type
from bayesinn.flows.flow import Flow
from bayesinn.flows.latents import Seed, check_seed
from bayesinn.spaces.parameters import Categories, ParameterSpace

# Numbers that the masked network computes for each value, and the network that maps them to its
# logit, the same for all values: neighbouring ones depend on the data alike.
_NUMBERS = 8
_LOGIT = Perceptron((32, 32))
# Hidden units are shared out among several integers.
_WIDEST = 512
# Smallest uniform number, whose logarithm is finite.
_SMALLEST = 1e-30


class Categorical(Flow):
    """Integers by a probability for each value, one after another, then another flow of the rest.

    ``AmortizedPosterior`` puts it around a flow if there are integers of at most 256 values. A
    masked network computes some numbers for each value, from the features and the integers before,
    and a small network maps these to a logit. Log prior probabilities are added, so that impossible
    values stay impossible. The other flow is of all other parameters, given features and integers.

    Parameters
    ----------
    flow : Flow of vectors that reads features; None if there are no other parameters
    hidden : sequence of int, units of the hidden layers for one integer; several have more
    activation : str, name of a Keras activation
    dropout : float, share of hidden units dropped in training

    References
    ----------
    Germain et al. (2015), MADE: masked autoencoder for distribution estimation, arXiv:1502.03509.

    Examples
    --------
    >>> import bayesinn as bi
    >>> import tensorflow as tf
    >>> import tensorflow_probability as tfp
    >>> tfd = tfp.distributions
    >>> prior = {"kind": tfd.Categorical(probs=[0.5, 0.3, 0.2]), "size": tfd.Normal(0.0, 1.0)}
    >>> @bi.simulator(prior=prior)
    ... def kinds(parameters, seed):
    ...     noise = tf.random.stateless_normal(tf.shape(parameters["size"]), seed)
    ...     return {"x": parameters["size"] * tf.cast(parameters["kind"], tf.float32) + noise}
    >>> flow = bi.flows.Categorical(bi.flows.coupling(blocks=1), hidden=(32,))
    >>> posterior = bi.AmortizedPosterior(kinds, flow=flow)
    >>> _ = posterior.fit(steps=1, progress=False)
    >>> posterior.sample({"x": 1.0}, draws=5, seed=1)["kind"].shape
    (5,)
    """

    reads = EVERY
    categorical = True

    def __init__(
        self,
        flow: Flow | None,
        hidden: Sequence[int] = (128, 128),
        activation: str = "silu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        do = "pass for example bi.flows.coupling()"
        check_type("Categorical, argument 'flow'", flow, (Flow, type(None)), "a Flow", do)
        self.flow = flow
        self.perceptron = Perceptron(hidden, activation, dropout)
        if flow is not None:
            self.declare_like(flow)
        self._space: ParameterSpace | None = None

    @property
    def entries(self) -> frozenset[str]:
        return frozenset({FEATURES}) if self.flow is None else self.flow.entries | {FEATURES}

    @property
    def xla_pays(self) -> bool:
        return self.flow is None or self.flow.xla_pays

    def bind(self, parameters: ParameterSpace) -> None:
        self._space = parameters
        if self.flow is not None:
            self.flow.bind(parameters)

    def build(self, event_shape: Sequence[int], condition_shapes: Any = None) -> None:
        super().build(event_shape, condition_shapes)
        space = self._space
        shapes = condition_shapes or {}
        if space is None or not space.categories or FEATURES not in shapes:
            raise InputError(
                "Flow Categorical",
                expected="integer parameters of at most 256 values, and features",
                got="none" if space is None else f"parameters {list(space.names)}",
                do="pass the flow inside, without Categorical(...)",
            )
        self._integers = Categories(space)
        self._rest = np.setdiff1d(np.arange(space.dimension), self._integers.places)
        count = self._integers.count
        hidden = [
            max(units, min(units * count, _WIDEST), count) for units in self.perceptron.hidden
        ]
        recipe = Perceptron(hidden, self.perceptron.activation, self.perceptron.dropout)
        features = shapes[FEATURES][0]
        width = self._integers.width
        inputs = width + 1
        # Of counts, the logits often depend on sums: direct connections need not learn to add.
        self.masked = MaskedNetwork(
            count, width * _NUMBERS, recipe, features, self.dtype_policy, inputs, direct=True
        )
        self.logit = _LOGIT.network(_NUMBERS, 1, self.dtype)
        self.logit.build((None, _NUMBERS))
        if not len(self._rest):
            return
        if self.flow is None or not self.flow.entries & {FEATURES, EVERY}:
            raise InputError(
                "Categorical, argument 'flow'",
                expected="a flow that reads features, for the parameters that are left",
                got=repr(self.flow),
                do="pass for example bi.flows.coupling()",
            )
        if not self.flow.built:
            wider = {**shapes, FEATURES: (features + count * inputs,)}
            self.flow.build((len(self._rest),), wider)

    def loss(
        self,
        x: tf.Tensor,
        condition: Any = None,
        *,
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        indices = self._integers.indices(x)
        loss = -self._log_prob_of(indices, condition)
        if self._inner is not None:
            rest = self._rest_of(x, indices, condition)
            loss += self._inner(*rest, seed=seed, progress=progress, training=training)
        return loss

    def log_prob(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        indices = self._integers.indices(x)
        log_prob = self._log_prob_of(indices, condition)
        if self._inner is not None:
            log_prob += self._inner.log_prob(*self._rest_of(x, indices, condition))
        return log_prob

    def sample(self, n: int | tf.Tensor, condition: Any = None, *, seed: Seed) -> tf.Tensor:
        self.check_built()
        of_integers, of_rest = seeds.split(check_seed(seed), 2)
        # An entry may have a single row for all.
        rows = tf.reduce_max([tf.shape(value)[0] for value in condition.values()])

        def for_each_draw(value: tf.Tensor) -> tf.Tensor:
            return tf.repeat(value, n * (rows // tf.shape(value)[0]), axis=0)

        repeated = map_entries(for_each_draw, condition)
        indices = self._draw(rows * n, repeated, of_integers)
        parts = [self._integers.elements(indices)]
        if self._inner is not None:
            wider = self._with_integers(indices, repeated)
            parts.append(self._inner.sample(1, wider, seed=of_rest)[:, 0])
        order = np.argsort(np.concatenate([self._integers.places, self._rest]))
        x = tf.gather(tf.concat(parts, axis=-1), order, axis=-1)
        return tf.reshape(x, (rows, n, *self.event_shape))

    def initialize(self, x: tf.Tensor, condition: Any = None) -> None:
        self.build_for(x, condition)
        if self._inner is not None:
            self._inner.initialize(*self._rest_of(x, self._integers.indices(x), condition))

    @property
    def watched(self) -> list[Bijection]:
        return [] if self._inner is None else list(self._inner.watched)

    def watched_inputs(
        self, x: tf.Tensor, condition: Any = None
    ) -> list[tuple[tf.Tensor, tf.Tensor | None]]:
        if self._inner is None:
            return []
        return list(
            self._inner.watched_inputs(*self._rest_of(x, self._integers.indices(x), condition))
        )

    @property
    def _inner(self) -> Flow | None:
        """The flow of other parameters; None if there are none."""
        return self.flow if self.built and len(self._rest) else None

    def _rest_of(
        self, x: tf.Tensor, indices: tf.Tensor, condition: Condition
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Return the other elements of vectors (n, d), and the condition of their flow."""
        return tf.gather(x, self._rest, axis=-1), self._with_integers(indices, condition)

    def _with_integers(self, indices: tf.Tensor, condition: Condition) -> dict[str, tf.Tensor]:
        """Return the condition with the integers among its features."""
        features = tf.concat([condition[FEATURES], self._inputs(indices)], axis=-1)
        return {**condition, FEATURES: features}

    def _inputs(self, indices: tf.Tensor) -> tf.Tensor:
        """Return integers as networks see them: which value, and its place in the range."""
        integers = self._integers
        which = tf.one_hot(indices, integers.width, dtype=self.variable_dtype)
        size = 2.0 * tf.cast(indices, which.dtype) / integers.sizes - 1.0
        inputs = tf.concat([which, size[..., None]], axis=-1)
        return tf.reshape(inputs, (-1, integers.count * (integers.width + 1)))

    def _log_probs(
        self, indices: tf.Tensor, condition: Condition, element: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Return log probabilities (n, k, width) of values, or (n, 1, width) of one element.

        Each is given the features and ``indices`` (n, k) of the elements before it.
        """
        # Nothing depends on the last element.
        width = self._integers.width
        before = self._inputs(indices)[:, : -(width + 1)]
        computed = self.masked(tf.concat([before, condition[FEATURES]], axis=-1), element=element)
        elements = computed.shape[1]
        logits = self.logit(tf.reshape(computed, (-1, _NUMBERS)))
        logits = tf.reshape(logits, (-1, elements, width))
        masses = self._integers.log_masses(indices)
        if element is not None:
            masses = tf.gather(masses, [element], axis=1)
        return tf.nn.log_softmax(tf.cast(logits, masses.dtype) + masses)

    def _log_prob_of(self, indices: tf.Tensor, condition: Condition) -> tf.Tensor:
        """Return log densities (n,) of indices (n, k), spread over their cells of vectors."""
        log_probs = self._log_probs(indices, condition)
        chosen = tf.one_hot(
            indices, self._integers.width, on_value=True, off_value=False, dtype=tf.bool
        )
        log_prob = tf.reduce_sum(tf.where(chosen, log_probs, 0.0), axis=(1, 2))
        return log_prob + self._integers.log_scale

    def _draw(self, rows: tf.Tensor, condition: Condition, seed: tf.Tensor) -> tf.Tensor:
        """Draw indices (rows, k), one element after another."""
        count = self._integers.count

        def draw(element: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            log_probs = self._log_probs(indices, condition, element)[:, 0]
            uniform = tf.random.stateless_uniform(
                tf.shape(log_probs), seeds.fold_in(seed, element), _SMALLEST, alg="philox"
            )
            # The largest sum with Gumbel noise is a draw, and never an impossible value: rounding
            # of cumulative probabilities could choose one.
            noisy = log_probs - tf.math.log(-tf.math.log(uniform))
            chosen = tf.argmax(noisy, axis=-1, output_type=tf.int32)[:, None]
            return element + 1, tf.where(tf.range(count) == element, chosen, indices)

        start = tf.constant(0), tf.zeros((rows, count), tf.int32)
        return tf.while_loop(lambda i, _: i < count, draw, start, maximum_iterations=count)[1]
