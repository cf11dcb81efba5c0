"""Set transformers: attention between the elements of a set."""

from typing import Literal

import keras
import tensorflow as tf

from bayesinn.core.dropout import Dropout
from bayesinn.core.errors import InputError
from bayesinn.summaries.elements import with_features, with_size
from bayesinn.summaries.summary import Summary

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
