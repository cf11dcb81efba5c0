"""Deep sets: summaries that don't depend on the order of elements."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from bayesinn.bijections.condition import EVERY, FEATURES, entry
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_choice, check_type
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries.elements import POOLINGS, pool, with_features, with_size
from bayesinn.summaries.summary import Summary


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
            _check_inner(inner)
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


def _check_inner(inner: Summary) -> None:
    """Refuse what only a summary of all the data can do."""
    if inner.trained_first or inner.times is not None:
        raise _unfit(repr(inner))


def _unfit(inner: str) -> InputError:
    return InputError(
        "DeepSet, argument 'inner'",
        expected="a network that returns one vector for an element, without times of its own or a "
        "loss of its own",
        got=inner,
        do="pass for example inner=bi.summaries.ConvLSTM(16)",
    )
