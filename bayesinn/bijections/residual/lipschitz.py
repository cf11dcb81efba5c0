"""Dense networks whose slope in their input is bounded, by the spectral normalisation of their matrices."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from bayesinn.bijections.residual.linearization import Linearization
from bayesinn.bijections.residual.spectral import limited


def lipswish(x: tf.Tensor, steepness: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return value and slope of swish divided by 1.1, whose steepest slope is 0.99985 whatever the steepness.

    Its second derivative doesn't vanish where the slope is near one. ReLU's does, and with it the gradient of the
    log-determinant. See Chen et al. (2019), arXiv:1906.02735.
    """
    gate = tf.sigmoid(steepness * x)
    return x * gate / 1.1, (gate + steepness * x * gate * (1.0 - gate)) / 1.1


def elu(x: tf.Tensor, steepness: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return value and slope of max(x, 0) + exp(min(x, 0)) - 1. The steepness isn't used."""
    negative = tf.minimum(x, 0.0)
    return x - negative + tf.math.expm1(negative), tf.exp(negative)


Activation = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
ACTIVATIONS: dict[str, Activation] = {"lipswish": lipswish, "elu": elu}


@dataclass(frozen=True)
class Contraction:
    """A dense network g as a function of x alone: kernels of limited norm, and offsets that include the condition."""

    kernels: list[tf.Tensor]
    offsets: list[tf.Tensor]
    steepness: list[tf.Tensor]
    activation: Activation

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Return the value g(x), (n, d)."""
        return self.linearize(x)[0]

    def linearize(self, x: tf.Tensor) -> tuple[tf.Tensor, Linearization]:
        """Return the value g(x), (n, d), and the Jacobian there."""
        slopes = []
        for kernel, offset, steepness in zip(self.kernels[:-1], self.offsets[:-1], self.steepness, strict=True):
            x, slope = self.activation(tf.matmul(x, kernel) + offset, steepness)
            slopes.append(slope)
        return tf.matmul(x, self.kernels[-1]) + self.offsets[-1], Linearization(self.kernels, slopes)

    def detached(self) -> Contraction:
        """Return the same function, through which no gradient flows to weights and condition."""
        weights = tf.nest.map_structure(tf.stop_gradient, [self.kernels, self.offsets, self.steepness])
        return Contraction(weights[0], weights[1], weights[2], self.activation)


class LipschitzNetwork(keras.layers.Layer):
    """A multilayer perceptron g(x, condition) that changes by at most ``lipschitz`` times the change of x.

    Each of its matrices that act on x gets an equal share of the bound. How steeply g depends on the condition isn't
    limited. The last layer starts at zero.

    Parameters
    ----------
    features : number of elements of x, and of g(x)
    condition_features : number of elements of the condition; may be 0
    hidden : units of the hidden layers; none makes g an affine map
    lipschitz : bound of the slope in x, between 0 and 1
    activation : {"lipswish", "elu"}
    dtype : str or Keras dtype policy, optional
    """

    def __init__(
        self,
        features: int,
        condition_features: int = 0,
        hidden: Sequence[int] = (64, 64),
        lipschitz: float = 0.9,
        activation: str = "lipswish",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(dtype=dtype)
        widths = (features, *hidden, features)
        self.limit = lipschitz ** (1.0 / (len(widths) - 1))
        self.activation = activation
        self.kernels, self.biases, self.raw_steepness = [], [], []
        for number, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            is_last = number == len(hidden)
            # Orthogonal, because scaling a matrix by its largest singular value costs the smaller ones their reach.
            initializer = "zeros" if is_last else "orthogonal"
            self.kernels.append(self._weight((inputs, outputs), initializer, f"kernel_{number}"))
            self.biases.append(self._weight((outputs,), "zeros", f"bias_{number}"))
            if self.activation == "lipswish" and not is_last:
                start = keras.initializers.Constant(0.5)
                self.raw_steepness.append(self._weight((), start, f"raw_steepness_{number}"))
        self.condition_kernel = None
        if condition_features:
            initializer = "glorot_uniform" if hidden else "zeros"
            self.condition_kernel = self._weight((condition_features, widths[1]), initializer, "condition_kernel")
        self.built = True

    def given(self, condition: tf.Tensor | None = None) -> Contraction:
        """Return the network as a function of x alone, for conditions (n, c) or None."""
        kernels = [limited(tf.convert_to_tensor(kernel), self.limit) for kernel in self.kernels]
        offsets = [tf.convert_to_tensor(bias) for bias in self.biases]
        if condition is not None:
            offsets[0] += tf.matmul(condition, tf.convert_to_tensor(self.condition_kernel))
        steepness = [tf.nn.softplus(tf.convert_to_tensor(raw)) for raw in self.raw_steepness]
        steepness = steepness or [tf.ones((), offsets[0].dtype)] * (len(kernels) - 1)
        return Contraction(kernels, offsets, steepness, ACTIVATIONS[self.activation])

    def _weight(self, shape: tuple[int, ...], initializer: str | keras.Initializer, name: str) -> keras.Variable:
        # An inverse computed in half precision isn't one: no automatic casting.
        return self.add_weight(shape=shape, initializer=initializer, autocast=False, name=name)
