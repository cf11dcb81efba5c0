"""Summaries of sets, which don't depend on the order: deep sets and set transformers."""

from collections.abc import Sequence
from typing import Literal

import keras
import tensorflow as tf

from bayesinn.bijections.bijection import EVERY, FEATURES, entry
from bayesinn.core.compilation import Dropout
from bayesinn.core.errors import InputError, check_choice, check_type
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries.summary import POOLINGS, Summary, pool, with_features, with_size


class DeepSet(Summary):
    """Summarise a set of exchangeable elements: a network for each, a mean, a network for the mean.

    The networks for elements also see the pooled set (equivariant layers). The last network also
    sees the number of elements.

    Parameters
    ----------
    hidden : sequence of int, units of the equivariant layers
    dense : sequence of int, units of the layers after pooling
    pooling : {"mean", "sum", "max", "mean+max"}
        How the set is pooled. "max" suits parameters that bound the support; "mean+max" suits such
        parameters together with others.
    inner : Summary
        Network that summarises each element, if elements have axes of their own:
        ``DeepSet(inner=DeepSet(16))`` for (n, patients, trials), ``DeepSet(inner=ConvLSTM(16))``
        for sets of series.

    References
    ----------
    Zaheer et al. (2017), Deep sets, arXiv:1703.06114.
    Bloem-Reddy and Teh (2020), Probabilistic symmetries and invariant neural networks,
    arXiv:1901.06082.

    Examples
    --------
    >>> import tensorflow as tf
    >>> DeepSet(units=16)(tf.ones((10, 50, 2))).shape
    TensorShape([10, 16])
    """

    shapes = ("(n, elements)", "(n, elements, features)")
    order = "set"
    gaps = True

    def __init__(
        self,
        units: int = 32,
        hidden: Sequence[int] = (64, 64),
        dense: Sequence[int] = (64,),
        pooling: str = "mean",
        activation: str = "silu",
        inner: Summary | None = None,
    ) -> None:
        super().__init__()
        check_type(
            "DeepSet, argument 'inner'",
            inner,
            (Summary, type(None)),
            "a summary network for each element",
            "pass for example inner=bi.summaries.DeepSet(16)",
        )
        self.inner = inner
        if inner is not None:
            # Only a summary of all the data can do either.
            if inner.trained_first or inner.times is not None:
                raise _unfit(repr(inner))
            # It checks the shape of its data itself.
            self.__dict__["shapes"] = ()
            self.standardised = inner.standardised
            self.missing = inner.missing
            self.nested = inner.order is not None
            self.images = inner.images
        check_choice("DeepSet, argument 'pooling'", pooling, POOLINGS)
        self.pooling = pooling
        self.activation = keras.activations.get(activation)
        self.element_layers = [keras.layers.Dense(count) for count in hidden]
        self.set_layers = [keras.layers.Dense(count, use_bias=False) for count in hidden]
        layers = [keras.layers.Dense(count, activation=activation) for count in dense]
        self.network = keras.Sequential([*layers, keras.layers.Dense(units)])

    def bind(self, parameters: ParameterSpace) -> None:
        if self.inner is not None:
            self.inner.bind(parameters)

    def initialize(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> None:
        if self.inner is not None:
            elements = tf.reshape(x, (-1, *x.shape[2:]))
            if mask is not None:
                elements = tf.boolean_mask(elements, tf.reshape(mask, (-1,)))
            self.inner.initialize(elements)

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        if self.inner is not None:
            entries = entry(self.inner(tf.reshape(x, (-1, *x.shape[2:]))), EVERY)
            if set(entries) != {FEATURES}:
                raise _unfit(f"{self.inner!r}, which returns {sorted(entries)}")
            features = entries[FEATURES]
            x = tf.reshape(features, (tf.shape(x)[0], x.shape[1], features.shape[-1]))
        return self.network(with_size(self.pool(x, mask), x, mask))

    def pool(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Return the pooled set (n, k), before its size is appended."""
        h = with_features(x)
        for element_layer, set_layer in zip(self.element_layers, self.set_layers, strict=True):
            h = self.activation(
                element_layer(h) + set_layer(pool(h, mask, self.pooling))[:, None, :]
            )
        return pool(h, mask, self.pooling)


def _unfit(inner: str) -> InputError:
    return InputError(
        "DeepSet, argument 'inner'",
        expected="a network that returns one vector for an element, without times of its own or a "
        "loss of its own",
        got=inner,
        do="pass for example inner=bi.summaries.ConvLSTM(16)",
    )


Shape = tuple[int | None, ...]


class SetTransformer(Summary):
    """Summarise a set of exchangeable elements by attention, where their relations are informative.

    Blocks of self-attention are followed by pooling: attention from learned seeds. The number of
    elements is appended.

    Parameters
    ----------
    width : int, length of the vector that represents an element; a multiple of ``heads``
    heads, blocks : int, number of attention heads, and of blocks of self-attention
    inducing_points : int, optional
        Number m of learned points that mediate between the elements in self-attention. The cost is
        n m in place of n^2: useful for sets of more than about 500 elements.
    seeds : int, number of learned vectors that pool the set
    dropout : float, share of attention weights dropped in training

    References
    ----------
    Lee, Lee, Kim, Kosiorek, Choi and Teh (2019), Set transformer: a framework for attention-based
    permutation-invariant neural networks, arXiv:1810.00825.

    Examples
    --------
    >>> import tensorflow as tf
    >>> SetTransformer(units=16)(tf.ones((10, 50, 2))).shape
    TensorShape([10, 16])
    """

    shapes = ("(n, elements)", "(n, elements, features)")
    order: Literal["series", "set"] | None = "set"
    gaps = True

    def __init__(
        self,
        units: int = 32,
        width: int = 64,
        heads: int = 4,
        blocks: int = 2,
        inducing_points: int | None = None,
        seeds: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width % heads:
            raise InputError(
                f"{type(self).__name__}, argument 'width'",
                expected=f"a multiple of heads={heads}",
                got=f"{width!r}",
                do=f"choose {width // heads * heads or heads}, or another number of heads",
            )
        self.embedding = keras.layers.Dense(width)
        self.blocks = [
            _Attention(width, heads, dropout)
            if inducing_points is None
            else _InducedAttention(width, heads, inducing_points, dropout)
            for _ in range(blocks)
        ]
        self.pooling = _Learned(seeds, width)
        self.pooling_block = _Attention(width, heads, dropout)
        self.output_layer = keras.layers.Dense(units)

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        # In an empty set, all of the padding is attended to; its elements are equal.
        h = self.embedding(with_features(x))
        for block in self.blocks:
            h = block(h, h, mask)
        pooled = self.pooling_block(self.pooling(h), h, mask)
        pooled = tf.reshape(pooled, (-1, pooled.shape[1] * pooled.shape[2]))
        return self.output_layer(with_size(pooled, x, mask))


class MultiHeadAttention(keras.layers.MultiHeadAttention):
    """Keras' attention with our dropout, for which it has no argument."""

    def build(self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None) -> None:
        super().build(query_shape, value_shape, key_shape)
        self._dropout_layer.__class__ = Dropout


class _Attention(keras.layers.Layer):
    """Attention of queries to elements, then a network for each query; both residual."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        # Keras' own name of a private class begins with an underscore, which TensorFlow refuses as
        # outermost scope.
        super().__init__(name="attention")
        self.attention = MultiHeadAttention(heads, key_dim=width // heads, dropout=dropout)
        self.attention_norm = keras.layers.LayerNormalization()
        self.hidden = keras.layers.Dense(2 * width, activation="silu")
        self.dense = keras.layers.Dense(width)
        self.dense_norm = keras.layers.LayerNormalization()

    def call(self, queries: tf.Tensor, elements: tf.Tensor, valid: tf.Tensor | None) -> tf.Tensor:
        """Attend from queries (n, q, width) to elements (n, e, width).

        The mask ``valid`` (n, e) is False for padding.
        """
        attention_mask = None if valid is None else valid[:, None, :]
        attended = self.attention(queries, elements, attention_mask=attention_mask)
        h = self.attention_norm(queries + attended)
        return self.dense_norm(h + self.dense(self.hidden(h)))


class _InducedAttention(keras.layers.Layer):
    """Self-attention through learned points: they attend to the elements, then vice versa."""

    def __init__(self, width: int, heads: int, points: int, dropout: float) -> None:
        super().__init__(name="induced_attention")
        self.points = _Learned(points, width)
        self.gather = _Attention(width, heads, dropout)
        self.spread = _Attention(width, heads, dropout)

    def call(self, queries: tf.Tensor, elements: tf.Tensor, valid: tf.Tensor | None) -> tf.Tensor:
        return self.spread(queries, self.gather(self.points(elements), elements, valid), None)


class _Learned(keras.layers.Layer):
    """A few learned vectors, the same for every row: (n, count, width)."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__(name="learned")
        self.vectors = self.add_weight(
            shape=(1, count, width), initializer="glorot_uniform", name="vectors"
        )

    def call(self, like: tf.Tensor) -> tf.Tensor:
        vectors = tf.cast(tf.convert_to_tensor(self.vectors), like.dtype)
        return tf.broadcast_to(vectors, (tf.shape(like)[0], *vectors.shape[1:]))
