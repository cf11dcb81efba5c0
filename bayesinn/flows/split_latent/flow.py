"""A bijection with output split into latent, padding and observables: [z, pad, y] = f([x, pad])."""

import math
from collections.abc import Sequence
from typing import Literal

import tensorflow as tf

from bayesinn.bijections import Bijection
from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_choice, check_type
from bayesinn.flows.flow import Flow
from bayesinn.flows.latents.latent import Seed
from bayesinn.flows.split_latent.layout import SplitLayout
from bayesinn.flows.split_latent.losses import SplitLosses
from bayesinn.flows.split_latent.mmd import gaussian_weights, mmd_loss


class SplitLatentFlow(Flow):
    """The distribution of parameters x given observables y, from a bijection.

    The bijection maps [x, padding] to [z, padding, y].

    To draw, put y and a normal z into the output and run the bijection backwards. The condition is
    y, followed by the context, which is the condition of ``chain``, a bijection of vectors (n,
    width). Don't put ActNorm into it: it would scale padding, which is almost zero, to unit
    variance. See :class:`SplitLayout` and :class:`bayesinn.inverse.SplitLatent`.
    """

    def __init__(
        self,
        chain: Bijection,
        parameters: int,
        latent: int,
        observables: int,
        width: int,
        objective: Literal["mmd", "likelihood"] = "mmd",
        losses: SplitLosses = SplitLosses(),
    ) -> None:
        super().__init__()
        do = "pass flow.chain for a flow, or leave it out"
        check_type("Argument 'chain'", chain, Bijection, "a Bijection", do)
        self.chain = chain
        self.layout = SplitLayout(parameters, latent, observables, width)
        check_choice("Argument 'objective'", objective, ("mmd", "likelihood"))
        self.objective = objective
        # Keras keeps the name `losses` for itself.
        self.split_losses = losses
        likelihood = objective == "likelihood"
        self.nats = likelihood
        # Discrepancies compare whole batches.
        self.rowwise = likelihood
        # With padding, the density would be an integral over it.
        self.density = "exact" if likelihood and not self.layout.inputs["padding"] else None

    @property
    def bijection(self) -> Bijection:
        return self.chain

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        if condition_shape is None:
            raise self._without_observables()
        if not self.chain.built:
            self.chain.build((self.layout.width,), (condition_shape[0] - self.layout.observables,))

    def predict(self, x: tf.Tensor, condition: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return latents (n, latent) and observables (n, observables) of parameters x (n, d).

        The observables are standardised; the parameters are vectors.
        """
        padded = tf.pad(x, [[0, 0], [0, self.layout.inputs["padding"]]])
        output, _ = self.chain.forward(padded, self._split(condition)[1])
        latent, _, observables = tf.split(output, [*self.layout.outputs.values()], axis=-1)
        return latent, observables

    def sample(
        self, n: int | tf.Tensor, condition: tf.Tensor | None = None, *, seed: Seed
    ) -> tf.Tensor:
        """Draw (m, n, d) for conditions (m, c).

        The likelihood objective adds noise to observables and padding.
        """
        y, context = (tf.repeat(part, n, axis=0) for part in self._split(condition))
        losses = self.split_losses
        noisy = self.nats
        output = self._output(
            y, seed, losses.observable_noise * noisy, losses.padding_noise * noisy
        )
        return tf.reshape(self._backward(output, context)[0], (-1, n, self.layout.parameters))

    def log_prob(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """Return the log density (n,), for the likelihood objective without padding.

        Other objectives have no density.
        """
        if self.density is None:
            raise InputError(
                "Log density of a split-latent flow",
                expected="objective='likelihood' and a width equal to the number of parameters",
                got=f"objective={self.objective!r}, {self.layout!r}",
                do="use sample(), or train with the likelihood objective and without padding",
            )
        return self._log_density(x, condition, tf.zeros((2,), tf.int32))

    def loss(
        self,
        x: tf.Tensor,
        condition: tf.Tensor | None = None,
        *,
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        """Return minus the log density (n,) of each row, or the weighted sum of all losses."""
        seed = tf.zeros((2,), tf.int32) if seed is None else seed
        if self.nats:
            return -self._log_density(x, condition, seed)
        weights = self.split_losses
        # 2 * start^(1 - progress), as the authors' notebook does.
        ramp = tf.minimum(1.0, 2.0 * weights.backward_start ** (1.0 - progress))
        terms = self.terms(x, condition, seed)
        total = tf.add_n(
            [getattr(weights, name) * term for name, term in terms.items() if name != "backward"]
        )
        total += weights.backward * ramp * terms["backward"]
        return tf.fill(tf.shape(x)[:1], total)

    def terms(
        self, x: tf.Tensor, condition: tf.Tensor | None, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Return the unweighted losses () of the MMD objective, by :class:`SplitLosses` name."""
        layout = self.layout
        losses = self.split_losses
        y, context = self._split(condition)
        streams = seeds.split(seed, 6)
        output, _ = self.chain.forward(self._padded(x, streams[0]), context)
        z, padding, predicted = tf.split(output, [*layout.outputs.values()], axis=-1)
        normal = self._noise(x, layout.latent, 1.0, streams[1])
        joint = tf.concat([z, tf.stop_gradient(predicted)], axis=-1)
        target = tf.concat([normal, y], axis=-1)
        given = self._output(y, streams[2], losses.observable_noise, losses.padding_noise)
        drawn, drawn_padding = self._backward(given, context)
        near = None if losses.neighbourhood is None else gaussian_weights(y, losses.neighbourhood)
        sds = losses.latent_noise, losses.padding_noise, losses.observable_noise
        returned, returned_padding = self._backward(
            output + self._output_noise(x, sds, streams[3:]), context
        )
        padding = tf.concat([padding, drawn_padding, returned_padding], axis=-1)
        return {
            "fit": tf.reduce_mean((predicted - y) ** 2),
            "latent": mmd_loss(joint, target, losses.latent_scales),
            "backward": mmd_loss(drawn, x, losses.backward_scales, near),
            "reconstruction": tf.reduce_mean((returned - x) ** 2),
            "padding": tf.reduce_mean(padding**2) if padding.shape[1] else tf.zeros(()),
        }

    def _log_density(self, x: tf.Tensor, condition: tf.Tensor | None, seed: tf.Tensor) -> tf.Tensor:
        """Return log q(x, padding | y) - log p(padding); without padding, this is log q(x | y).

        With padding, it lies below log q(x | y) on average.
        """
        # Padding must be noise here: along constant padding, the density could grow without bound.
        layout = self.layout
        losses = self.split_losses
        y, context = self._split(condition)
        padded = self._padded(x, seed)
        output, log_det = self.chain.forward(padded, context)
        z, padding, predicted = tf.split(output, [*layout.outputs.values()], axis=-1)
        log_density = log_det + _log_normal(z, 1.0) + _log_normal(padding, losses.padding_noise)
        log_density += _log_normal(predicted - y, losses.observable_noise)
        return log_density - _log_normal(padded[:, layout.parameters :], losses.padding_noise)

    def _backward(self, output: tf.Tensor, context: tf.Tensor) -> list[tf.Tensor]:
        return tf.split(
            self.chain.inverse(output, context)[0], [*self.layout.inputs.values()], axis=-1
        )

    def _padded(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        padding = self._noise(
            x, self.layout.inputs["padding"], self.split_losses.padding_noise, seed
        )
        return tf.concat([x, padding], axis=-1)

    def _output(
        self, y: tf.Tensor, seed: tf.Tensor, observable_noise: float, padding_noise: float
    ) -> tf.Tensor:
        """Return outputs (n, width) with a normal latent, for observables (n, observables)."""
        noise = self._output_noise(y, (1.0, padding_noise, observable_noise), seeds.split(seed, 3))
        return noise + tf.pad(y, [[0, 0], [self.layout.width - self.layout.observables, 0]])

    def _output_noise(
        self, like: tf.Tensor, sds: Sequence[float], streams: Sequence[tf.Tensor]
    ) -> tf.Tensor:
        """Return noise (n, width) with the sds of latent, padding and observables."""
        parts = zip(self.layout.outputs.values(), sds, streams, strict=True)
        return tf.concat(
            [self._noise(like, size, sd, stream) for size, sd, stream in parts], axis=-1
        )

    def _noise(self, like: tf.Tensor, size: int, sd: float, seed: tf.Tensor) -> tf.Tensor:
        return sd * tf.random.stateless_normal(
            (tf.shape(like)[0], size), seed, dtype=like.dtype, alg="philox"
        )

    def _split(self, condition: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return observables and context; to bijections, a context of no elements is none."""
        if condition is None:
            raise self._without_observables()
        condition = tf.convert_to_tensor(condition)
        return condition[:, : self.layout.observables], condition[:, self.layout.observables :]

    def _without_observables(self) -> InputError:
        return InputError(
            type(self).__name__,
            expected="observables, as condition",
            got="None",
            do="pass the standardised observables",
        )

    def bijection_inputs(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Return vectors with constant padding, (n, width), and context (n, c - observables)."""
        return self._padded(x, tf.zeros((2,), tf.int32)), self._split(condition)[1]


def _log_normal(values: tf.Tensor, sd: float) -> tf.Tensor:
    constant = math.log(sd) + 0.5 * math.log(2.0 * math.pi)
    return -tf.reduce_sum(0.5 * (values / sd) ** 2 + constant, axis=-1)
