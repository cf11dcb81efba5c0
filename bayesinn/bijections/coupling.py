"""Coupling blocks: transform half of the channels with parameters computed from the other half."""

from collections.abc import Sequence

import tensorflow as tf

from bayesinn.bijections.bijection import constant_log_det
from bayesinn.bijections.condition import FEATURES
from bayesinn.bijections.conditional_transform import TransformBlock
from bayesinn.bijections.image.convolutional import Convolutional
from bayesinn.bijections.subnet import Perceptron, Subnet
from bayesinn.bijections.transforms import Transform
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_number, check_type


class Coupling(TransformBlock):
    """Transform the second half of the channels given the first, then the first given the second.

    The channels of a vector are its elements. A single channel can't be split: the transform acts
    on it with parameters computed from the condition alone, or free weights without a condition.
    Conditions of images are vectors, or maps of the same height and width in an entry of their own.

    Parameters
    ----------
    transform : Transform, optional
        Map of each element. By default ``Affine()``; for a single element ``Composed([Affine(),
        Spline()])``, because affine maps alone would give a Gaussian.
    hidden : sequence of int, units or filters of the hidden layers in each network
    activation : str, activation of the hidden layers, name of a Keras activation
    dropout : float, share of hidden units dropped in training
    dual : bool, whether both halves are transformed; False: only the second, at half the cost
    subnet : Subnet, optional
        Networks of another kind, in place of ``hidden``, ``activation`` and ``dropout``. By default
        ``Perceptron`` for vectors and ``Convolutional`` for images.
    reads : str, entry of the condition that the networks see
    split : float, share of the channels in the first half, at least one of several

    References
    ----------
    Dinh, Sohl-Dickstein and Bengio (2017), Density estimation using Real NVP, arXiv:1605.08803.
    Ardizzone et al. (2019), Guided image generation with conditional invertible neural networks,
    arXiv:1907.02392.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Coupling(hidden=(32,)).forward(tf.ones((10, 3)), condition=tf.ones((10, 5)))
    >>> z.shape, log_det.shape
    (TensorShape([10, 3]), TensorShape([10]))
    """

    event_rank = None
    shares_conditions = True

    def __init__(
        self,
        transform: Transform | None = None,
        hidden: Sequence[int] = (128, 128),
        activation: str = "silu",
        dropout: float = 0.0,
        dual: bool = True,
        subnet: Subnet | None = None,
        reads: str = FEATURES,
        split: float = 0.5,
    ) -> None:
        super().__init__(transform)
        subject = "Coupling, argument 'subnet'"
        check_type(
            subject,
            subnet,
            (Subnet, type(None)),
            "a Subnet",
            "pass for example bi.bijections.Convolutional(filters=(64, 64))",
        )
        perceptron = Perceptron(hidden, activation, dropout)
        if subnet is not None and perceptron != Perceptron():
            raise InputError(
                subject,
                expected="a subnet, or 'hidden', 'activation' and 'dropout'",
                got=f"{subnet!r} and {perceptron!r}",
                do=f"give them to the subnet: {type(subnet).__name__}(...)",
            )
        self.dual = dual
        self.reads = reads
        self.split = check_number("Coupling, argument 'split'", split, above=0, below=1)
        self.vector_subnet = subnet or perceptron
        self.image_subnet = subnet or Convolutional(hidden, 3, activation, dropout)

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        subnet = self.vector_subnet if len(self.event_shape) == 1 else self.image_subnet
        if isinstance(subnet, Convolutional) and len(self.event_shape) < 3:
            raise InputError(
                "Coupling, argument 'subnet'",
                expected="networks for events of this shape; Convolutional is for images",
                got=f"{subnet!r}, for events of shape {self.event_shape}",
                do="pass for example subnet=bi.bijections.Perceptron(), for each place by itself",
            )
        self.xla_pays = subnet.xla_pays
        # A single channel has an empty first half.
        first = max(int(self.split * self.channels), min(1, self.channels - 1))
        second = self.channels - first
        self.halves = first, second
        self.second_from_first = self.conditional_transform(first, second, subnet)
        self.first_from_second = (
            self.conditional_transform(second, first, subnet) if self.dual and first else None
        )

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        first, second = tf.split(x, self.halves, axis=-1)
        second, log_det = self.second_from_first.forward(second, first, condition)
        if self.first_from_second is not None:
            first, term = self.first_from_second.forward(first, second, condition)
            log_det += term
        return tf.concat([first, second], axis=-1), log_det

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        first, second = tf.split(z, self.halves, axis=-1)
        log_det = constant_log_det(z)
        if self.first_from_second is not None:
            first, log_det = self.first_from_second.inverse(first, second, condition)
        second, term = self.second_from_first.inverse(second, first, condition)
        return tf.concat([first, second], axis=-1), log_det + term
