"""A bijection with output split into latent, padding and observables: [z, pad, y] = f([x, pad])."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import tensorflow as tf

from bayesinn.bijections import Bijection
from bayesinn.core import seeds
from bayesinn.core.configuration import Registered
from bayesinn.core.errors import InputError, check_choice, check_number, check_type
from bayesinn.flows.flow import Flow
from bayesinn.flows.latents import Seed


@dataclass(frozen=True)
class SplitLayout:
    """The positions of parameters, latent, padding and observables in input and output.

    - Input: ``parameters`` elements of the standardised unconstrained parameter vector, then
      padding.
    - Output: ``latent`` elements, then padding, then ``observables`` standardised numbers.

    Both have ``width`` elements.

    Examples
    --------
    >>> SplitLayout(parameters=4, latent=2, observables=2, width=6)
    SplitLayout([parameters 0:4, padding 4:6] -> [latent 0:2, padding 2:4, observables 4:6])
    """

    parameters: int
    latent: int
    observables: int
    width: int

    def __post_init__(self) -> None:
        needed = max(self.parameters, self.latent + self.observables)
        if self.latent < 1 or self.width < needed:
            expected = f"one latent element or more, and a width of at least {needed}"
            numbers = f"{self.parameters} parameters and {self.observables} observables"
            raise InputError(
                "Split of the output",
                expected=expected,
                got=f"{self.latent} latent elements and width {self.width} for {numbers}",
                do="leave out 'latent' and 'width', or enlarge 'width'",
            )

    @property
    def inputs(self) -> dict[str, int]:
        """Numbers of elements in the input, in order."""
        return {"parameters": self.parameters, "padding": self.width - self.parameters}

    @property
    def outputs(self) -> dict[str, int]:
        """Numbers of elements in the output, in order."""
        padding = self.width - self.latent - self.observables
        return {"latent": self.latent, "padding": padding, "observables": self.observables}

    def __repr__(self) -> str:
        return f"SplitLayout([{_ranges(self.inputs)}] -> [{_ranges(self.outputs)}])"


def _ranges(sizes: Mapping[str, int]) -> str:
    stops = itertools.accumulate(sizes.values())
    parts = zip(sizes.items(), stops, strict=True)
    return ", ".join(f"{name} {stop - size}:{stop}" for (name, size), stop in parts if size)


# Losses, noise and distances that may not be zero.
_POSITIVE = ("observable_noise", "padding_noise", "backward_start", "neighbourhood")


@dataclass(frozen=True)
class SplitLosses(Registered):
    """Weights, noise and kernels of :class:`SplitLatent`.

    All noise and scales are in standardised units.

    Parameters
    ----------
    fit : float, weight of L_y, the mean squared error of the predicted observables
    latent : float
        Weight of L_z, the MMD between (latent, predicted observables) and (standard normal,
        observables). It makes the latent normal and independent of the observables, and has no
        gradient through the prediction.
    backward : float
        Weight of L_x, the MMD between the prior's parameters and those computed from observables
        and random latents.
    backward_start : float
        Half of the share of ``backward`` at the start of training. The share grows exponentially to
        one before the end. With a poor fit, the full weight would contract the latent.
    reconstruction : float
        Weight of L_rec, the mean squared error after both directions, with a little noise in
        between.
    padding : float
        Weight of L_pad, the mean square of all padding. Without it, padding would hold information
        that is missing when sampling.
    observable_noise : float
        Standard deviation of observables in the backward direction; for the "likelihood" objective,
        of predictions around the data.
    latent_noise, padding_noise : float, standard deviations of latents in L_rec, and of padding
    latent_scales, backward_scales : sequence of float
        Scales a of the kernels a^2 / (a^2 + d^2) in L_z and L_x.
    neighbourhood : float, optional
        Distance of observables within which L_x compares parameters: given the observation. By
        default it compares all rows.

    References
    ----------
    Ardizzone et al. (2019), Analyzing inverse problems with invertible neural networks,
    arXiv:1808.04730.

    Examples
    --------
    >>> SplitLosses(fit=20.0).fit
    20.0
    """

    fit: float = 10.0
    latent: float = 10.0
    backward: float = 10.0
    backward_start: float = 0.002
    reconstruction: float = 1.0
    padding: float = 10.0
    observable_noise: float = 0.02
    latent_noise: float = 0.02
    padding_noise: float = 0.01
    latent_scales: Sequence[float] = (0.2, 1.0, 3.0)
    backward_scales: Sequence[float] = (0.2, 1.0, 3.0)
    neighbourhood: float | None = None

    def __post_init__(self) -> None:
        for name, value in list(vars(self).items()):
            subject = f"SplitLosses, argument {name!r}"
            several = name.endswith("_scales")
            if several:
                array = np.asarray(value)
                if array.ndim != 1 or not array.size:
                    raise InputError(
                        subject,
                        expected="one or more positive numbers",
                        got=repr(value),
                        do="pass for example (0.2, 1.0, 3.0)",
                    )
                # A tuple, so that equal losses compare equal, whether given as lists or tuples.
                object.__setattr__(self, name, tuple(value))
            positive = several or name in _POSITIVE
            for number in value if several else [value]:
                if number is not None or name != "neighbourhood":
                    check_number(
                        subject,
                        number,
                        least=0,
                        above=0 if positive else -math.inf,
                        most=0.5 if name == "backward_start" else math.inf,
                    )


# The MMD as a differentiable loss.
#
# For a test, which compares an MMD with its null distribution, see
# :func:`bayesinn.diagnostics.two_samples`.


def mmd_loss(
    first: tf.Tensor,
    second: tf.Tensor,
    scales: Sequence[float],
    pair_weights: tf.Tensor | None = None,
) -> tf.Tensor:
    r"""Unbiased MMD^2 of two batches (n, d), from a sum of kernels :math:`a^2 / (a^2 + d^2)`.

    These are inverse multiquadratic kernels.

    Their heavy tails give gradients to batches far apart, unlike Gaussian kernels; the scales a are
    distances. Pairs with equal row numbers are left out, also between the batches, so that for
    equal distributions the mean is 0 even if row i of one depends on row i of the other (Gretton et
    al. 2012, A kernel two-sample test, JMLR 13, equation 4). Weights (n, n) that fall with the
    distance of the rows' observations compare distributions given the observation.
    """
    # Centring avoids cancellation in the squared distances.
    middle = tf.stop_gradient(tf.reduce_mean(first, axis=0))
    first = first - middle
    second = second - middle
    between = _kernel(first, second, scales)
    difference = (
        _kernel(first, first, scales)
        + _kernel(second, second, scales)
        - between
        - tf.transpose(between)
    )
    weights = 1.0 - tf.eye(tf.shape(first)[0], dtype=first.dtype)
    if pair_weights is not None:
        weights *= pair_weights
    return tf.math.divide_no_nan(tf.reduce_sum(weights * difference), tf.reduce_sum(weights))


def gaussian_weights(values: tf.Tensor, scale: float) -> tf.Tensor:
    """Return Gaussian weights (n, n) of pairs of rows of values (n, d).

    The weight of a pair is a Gaussian function of its distance, with sd ``scale``.
    """
    return tf.exp(-0.5 * _squared_distances(values, values) / scale**2)


def _kernel(first: tf.Tensor, second: tf.Tensor, scales: Sequence[float]) -> tf.Tensor:
    squared = _squared_distances(first, second)
    return tf.add_n([1.0 / (1.0 + squared / scale**2) for scale in scales])


def _squared_distances(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    lengths = tf.reduce_sum(first**2, axis=1)[:, None] + tf.reduce_sum(second**2, axis=1)[None, :]
    # Expanded, as a matrix product: ten times faster than differences. Rounding may leave it just
    # below zero.
    return tf.maximum(lengths - 2.0 * tf.matmul(first, second, transpose_b=True), 0.0)


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
        noisy = self._output(y, streams[2], losses.observable_noise, losses.padding_noise)
        drawn, drawn_padding = self._backward(noisy, context)
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
