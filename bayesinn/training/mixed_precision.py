"""Mixed precision: dense layers and convolutions train in bfloat16, all else as ever.

These layers compute in bfloat16 while a network is trained, and only then.
"""

import contextlib
from collections.abc import Callable, Iterator

import tensorflow as tf
from keras import layers

from bayesinn.core.products import is_product
from bayesinn.training.trainable import Trainable


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
    exact = set() if first is None else {id(layer) for layer in first.network._flatten_layers()}
    every = trainable.network._flatten_layers()
    return [layer for layer in every if is_product(layer) and id(layer) not in exact]


def _of_single(activation: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return an activation that is computed in single precision.

    Layers without one have the identity.
    """
    return lambda x: activation(tf.cast(x, tf.float32))
