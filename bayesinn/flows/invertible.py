"""The invertible flow: a bijection and a latent distribution."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from bayesinn.bijections import Bijection
from bayesinn.bijections.bijection import EVERY, Condition, as_vectors, map_entries
from bayesinn.core.errors import InputError, check_type
from bayesinn.flows.flow import Flow
from bayesinn.flows.latents import Latent, Normal, Seed
from bayesinn.spaces.parameters import ParameterSpace


class InvertibleFlow(Flow):
    """The density of events x given a condition, from a bijection x -> z and a distribution of z.

    Parameters
    ----------
    chain : Bijection, usually a :class:`~bayesinn.bijections.Chain`
    latent : Latent, by default the standard normal

    References
    ----------
    Papamakarios et al. (2021), Normalizing flows for probabilistic modeling and inference,
    arXiv:1912.02762.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from bayesinn.bijections import Chain, Coupling, Orthogonal
    >>> flow = InvertibleFlow(Chain([Orthogonal(), Coupling()]))
    >>> flow.log_prob(tf.ones((10, 3)), condition=tf.ones((10, 2))).shape
    TensorShape([10])
    >>> flow.sample(100, condition=tf.ones((4, 2)), seed=(1, 2)).shape
    TensorShape([4, 100, 3])
    """

    reads = EVERY

    def __init__(self, chain: Bijection, latent: Latent | None = None) -> None:
        super().__init__()
        do = "pass for example bi.bijections.Chain([...])"
        check_type("InvertibleFlow, argument 'chain'", chain, Bijection, "a Bijection", do)
        do = "pass for example bi.flows.StudentT()"
        check_type(
            "InvertibleFlow, argument 'latent'", latent, (Latent, type(None)), "a Latent", do
        )
        self.chain = chain
        self.latent = Normal() if latent is None else latent

    @property
    def bijection(self) -> Bijection:
        return self.chain

    @property
    def entries(self) -> frozenset[str]:
        return self.chain.entries

    def build(self, event_shape: Sequence[int], condition_shapes: Any = None) -> None:
        super().build(event_shape, condition_shapes)
        if not self.chain.built:
            self.chain.build(event_shape, condition_shapes)
        if not self.latent.built:
            self.latent.build(self.chain.latent_shape)

    def check_built(self) -> None:
        # Codes and draws of a latent without weights need the chain alone.
        if not self.chain.built:
            super().check_built()

    def log_prob(self, x: tf.Tensor, condition: Condition | None = None) -> tf.Tensor:
        z, log_det = self.chain.forward(x, condition)
        return self.latent.log_prob(z) + log_det

    def sample(
        self, n: int | tf.Tensor, condition: Condition | None = None, *, seed: Seed
    ) -> tf.Tensor:
        self.check_built()
        rows = 1
        if condition is not None:
            # An entry may have a single row for all.
            rows = tf.reduce_max([tf.shape(entry)[0] for entry in tf.nest.flatten(condition)])
        z = self.latent.sample((rows * n, *self.chain.latent_shape), seed)
        x = self.chain.inverse_of_draws(
            tf.reshape(z, (rows, n, *self.chain.latent_shape)), condition
        )
        return x[0] if condition is None else x

    def encode(self, x: tf.Tensor, condition: Condition | None = None) -> tf.Tensor:
        """Return the latent codes (n, d) of events (n, *event), as vectors."""
        return as_vectors(self.chain.forward(x, condition)[0])

    def decode(self, z: tf.Tensor, condition: Condition | None = None) -> tf.Tensor:
        """Return the events (n, *event) that have latent codes (n, d)."""
        self.check_built()
        return self.chain.inverse(tf.reshape(z, (-1, *self.chain.latent_shape)), condition)[0]


class Framed(Flow):
    """The distribution of events x = location + root z, where z follows another flow.

    A summary returns the expected location and a root of the expected covariance, as entries of the
    condition beside the features. z is then nearly standard normal, and the flow learns the rest.
    The abilities are those of the other flow.

    Parameters
    ----------
    flow : Flow of vectors
    location : str
        Entry (n, d) of the condition; a single row is used for all events.
    root : str
        Entry (n, d, d) of the condition: lower triangular matrices with positive diagonals.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from bayesinn.flows import coupling
    >>> flow = Framed(coupling(blocks=2))
    >>> condition = {
    ...     "features": tf.ones((4, 2)),
    ...     "location": tf.zeros((4, 3)),
    ...     "root": tf.eye(3, batch_shape=[4]),
    ... }
    >>> flow.log_prob(tf.ones((4, 3)), condition).shape
    TensorShape([4])
    >>> flow.sample(100, condition, seed=(1, 2)).shape
    TensorShape([4, 100, 3])
    """

    reads = EVERY

    def __init__(self, flow: Flow, location: str = "location", root: str = "root") -> None:
        super().__init__()
        check_type(
            f"{type(self).__name__}, argument 'flow'",
            flow,
            Flow,
            "a Flow",
            "pass for example bi.flows.coupling()",
        )
        self.flow = flow
        self.location = location
        self.root = root
        self.declare_like(flow)
        self.codes = flow.codes

    @property
    def bijection(self) -> Bijection | None:
        return self.flow.bijection

    @property
    def latent(self) -> Latent:
        """The distribution of the other flow's codes, if it has any."""
        return self.flow.latent

    @property
    def entries(self) -> frozenset[str]:
        return self.flow.entries | {self.location, self.root}

    def bind(self, parameters: ParameterSpace) -> None:
        self.flow.bind(parameters)

    def build(self, event_shape: Sequence[int], condition_shapes: Any = None) -> None:
        super().build(event_shape, condition_shapes)
        event = tuple(event_shape)
        expected = {self.location: event, self.root: (*event, *event)}
        shapes = map_entries(tuple, condition_shapes) or {}
        if any(shapes.get(name) != shape for name, shape in expected.items()):
            raise InputError(
                f"Condition of {type(self).__name__}",
                expected=f"entries of shapes {expected}, for events of shape {event}",
                got=f"{shapes}",
                do="use it with a summary that returns them, or name them: location=..., root=...",
            )
        if not self.flow.built:
            self.flow.build(event_shape, condition_shapes)

    def loss(
        self,
        x: tf.Tensor,
        condition: Any = None,
        *,
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        z, log_det = self.whiten(x, condition)
        loss = self.flow(z, condition, seed=seed, progress=progress, training=training)
        return loss - log_det if self.nats else loss

    def log_prob(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        z, log_det = self.whiten(x, condition)
        return self.flow.log_prob(z, condition) + log_det

    def sample(self, n: int | tf.Tensor, condition: Any = None, *, seed: Seed) -> tf.Tensor:
        z = self.flow.sample(n, condition, seed=seed)
        offset = tf.matmul(z, condition[self.root], transpose_b=True)

        def repeated_draws(value: tf.Tensor) -> tf.Tensor:
            # A single row is used for all draws.
            repeats = tf.where(tf.shape(value)[0] == 1, 1, tf.shape(z)[1])
            return tf.repeat(value, repeats, axis=0)

        # The root has been applied; it would be large.
        rest = {name: value for name, value in condition.items() if name != self.root}
        repeated = map_entries(repeated_draws, rest)
        x, _ = self.from_offset(tf.reshape(offset, (-1, z.shape[-1])), repeated)
        return tf.reshape(x, tf.shape(z))

    def encode(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Return the latent codes (n, *latent) of events (n, d), where the other flow has them."""
        return self.flow.encode(self.whiten(x, condition)[0], condition)

    def decode(self, z: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Return the events (n, d) that have latent codes (n, *latent)."""
        return self.unwhiten(self.flow.decode(z, condition), condition)[0]

    def initialize(self, x: tf.Tensor, condition: Any = None) -> None:
        self.flow.initialize(self.whiten(x, condition)[0], condition)

    def bijection_inputs(self, x: tf.Tensor, condition: Any = None) -> Any:
        return self.flow.bijection_inputs(self.whiten(x, condition)[0], condition)

    def whiten(self, x: tf.Tensor, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        root = condition[self.root]
        offset, log_det = self.offset(x, condition)
        z = tf.linalg.triangular_solve(root, offset[..., None])[..., 0]
        return z, log_det - _log_det(root)

    def unwhiten(self, z: tf.Tensor, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        root = condition[self.root]
        x, log_det = self.from_offset(tf.linalg.matvec(root, z), condition)
        return x, log_det + _log_det(root)

    def offset(self, x: tf.Tensor, condition: Condition) -> tuple[tf.Tensor, tf.Tensor]:
        """Return offsets (n, d) of events from the location, and log determinants (n,).

        A flow that knows how the distribution is curved measures them along curved coordinates.
        """
        return x - condition[self.location], tf.zeros_like(x[:, 0])

    def from_offset(self, offset: tf.Tensor, condition: Condition) -> tuple[tf.Tensor, tf.Tensor]:
        """Invert :meth:`offset`; a condition of one row is used for all, and has no root."""
        return condition[self.location] + offset, tf.zeros_like(offset[:, 0])


def _log_det(root: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.math.log(tf.linalg.diag_part(root)), axis=-1)
