"""Dense networks whose slope in their input is bounded, by the spectral normalisation of their matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from bayesinn.bijections.residual.linearization import Linearization
from bayesinn.bijections.residual.spectral import limited
from bayesinn.core.errors import InputError


def lipswish(x: tf.Tensor, steepness: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Swish divided by 1.1, which makes its steepest slope 0.99985, whatever the steepness; value and slope.

    Its second derivative doesn't vanish where the slope is near one. ReLU's does, and with it the gradient of the
    log-determinant.

    Parameters
    ----------
    x : tensor
    steepness : tensor, broadcasts against ``x``

    Returns
    -------
    value, slope : tensors, like ``x``

    References
    ----------
    Chen, Behrmann, Duvenaud and Jacobsen (2019), Residual flows for invertible generative modeling, arXiv:1906.02735.
    """
    gate = tf.sigmoid(steepness * x)
    return x * gate / 1.1, (gate + steepness * x * gate * (1.0 - gate)) / 1.1


def elu(x: tf.Tensor, steepness: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Exponential linear unit, max(x, 0) + exp(min(x, 0)) - 1; value and slope. The steepness isn't used."""
    negative = tf.minimum(x, 0.0)
    return x - negative + tf.math.expm1(negative), tf.exp(negative)


ACTIVATIONS: dict[str, Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]] = {
    "lipswish": lipswish,
    "elu": elu,
}


@dataclass(frozen=True)
class Contraction:
    """A dense network g with all its weights given, the condition's share included: a function of x alone.

    Attributes
    ----------
    kernels : list of tensors (inputs, outputs), each with its largest singular value limited
    offsets : list of tensors (outputs,), of which the first may be (n, outputs)
    steepness : list of tensors (), one for each hidden layer
    activation : function of (values, steepness), gives values and slopes
    """

    kernels: list[tf.Tensor]
    offsets: list[tf.Tensor]
    steepness: list[tf.Tensor]
    activation: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """The value g(x), (n, d)."""
        return self.linearize(x)[0]

    def linearize(self, x: tf.Tensor) -> tuple[tf.Tensor, Linearization]:
        """The value g(x), (n, d), and the Jacobian there as a :class:`Linearization`."""
        slopes = []
        for kernel, offset, steepness in zip(self.kernels[:-1], self.offsets[:-1], self.steepness, strict=True):
            x, slope = self.activation(tf.matmul(x, kernel) + offset, steepness)
            slopes.append(slope)
        return tf.matmul(x, self.kernels[-1]) + self.offsets[-1], Linearization(self.kernels, slopes)

    def detached(self) -> Contraction:
        """The same function, through which no gradient flows to weights and condition."""
        kernels, offsets, steepness = tf.nest.map_structure(
            tf.stop_gradient, [self.kernels, self.offsets, self.steepness]
        )
        return Contraction(kernels, offsets, steepness, self.activation)


class LipschitzNetwork(keras.layers.Layer):
    """A multilayer perceptron g(x, condition) that changes by at most ``lipschitz`` times the change of x.

    Each of its matrices that act on x gets an equal share of the bound. How steeply g depends on the condition isn't
    limited. The last layer starts at zero.

    Parameters
    ----------
    features : int
        Length of x, and of g(x).
    condition_features : int
        Length of the condition; may be 0.
    hidden : sequence of int
        Units of the hidden layers; none makes g an affine map.
    lipschitz : float
        Bound of the slope in x, between 0 and 1.
    activation : {"lipswish", "elu"}
    dtype : str or Keras dtype policy, optional

    Examples
    --------
    >>> import tensorflow as tf
    >>> network = LipschitzNetwork(features=3, condition_features=2)
    >>> network.build()
    >>> g = network.given(condition=tf.ones((10, 2)))
    >>> g(tf.ones((10, 3))).shape
    TensorShape([10, 3])
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
        check_lipschitz(hidden, lipschitz, activation)
        self.condition_features = condition_features
        self.widths = (features, *hidden, features)
        self.limit = lipschitz ** (1.0 / (len(self.widths) - 1))
        self.activation = activation

    def build(self, features_shape: Sequence[int | None] | None = None) -> None:
        """Make the weights."""
        self.kernels, self.biases, self.raw_steepness = [], [], []
        pairs = list(zip(self.widths[:-1], self.widths[1:], strict=True))
        for number, (inputs, outputs) in enumerate(pairs):
            is_last = number == len(pairs) - 1
            # Orthogonal, because scaling a matrix by its largest singular value costs the smaller ones their reach.
            initializer = "zeros" if is_last else "orthogonal"
            self.kernels.append(self._weight((inputs, outputs), initializer, f"kernel_{number}"))
            self.biases.append(self._weight((outputs,), "zeros", f"bias_{number}"))
            if self.activation == "lipswish" and not is_last:
                start = keras.initializers.Constant(0.5)
                self.raw_steepness.append(self._weight((), start, f"raw_steepness_{number}"))
        self.condition_kernel = None
        if self.condition_features:
            shape = (self.condition_features, self.widths[1])
            initializer = "zeros" if len(pairs) == 1 else "glorot_uniform"
            self.condition_kernel = self._weight(shape, initializer, "condition_kernel")

    def given(self, condition: tf.Tensor | None = None) -> Contraction:
        """The network as a function of x alone.

        Parameters
        ----------
        condition : tensor (n, c), or None

        Returns
        -------
        Contraction
        """
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


def check_lipschitz(hidden: Sequence[int], lipschitz: float, activation: str) -> None:
    """Raise an InputError for arguments that give no contraction."""
    subject = "Lipschitz network, argument"
    if not 0.0 < lipschitz < 1.0:
        raise InputError(
            f"{subject} 'lipschitz'",
            expected="a number between 0 and 1, both excluded",
            got=f"{lipschitz!r}",
            do="take 0.9; nearer to 1, a block can bend more and takes longer to invert",
        )
    if any(units < 1 for units in hidden):
        raise InputError(f"{subject} 'hidden'", expected="1 unit or more", got=f"{hidden!r}", do="take (64, 64)")
    if activation not in ACTIVATIONS:
        raise InputError(
            f"{subject} 'activation'",
            expected=" or ".join(repr(name) for name in ACTIVATIONS),
            got=f"{activation!r}",
            do="take 'lipswish'; ReLU has no second derivative, and the log-determinant would give no gradient",
        )
