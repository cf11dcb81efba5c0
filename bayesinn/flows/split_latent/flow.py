"""A bijection whose output is split into latent, padding and observables: [z, pad, y] = f([x, pad])."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import tensorflow as tf

from bayesinn.bijections import Bijection
from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_choice
from bayesinn.flows import Flow
from bayesinn.flows.split_latent.losses import SplitLosses
from bayesinn.flows.split_latent.mmd import gaussian_weights, mmd_loss


@dataclass(frozen=True)
class SplitLayout:
    """Which element is what, on both sides of the bijection.

    Input: ``parameters`` elements of the standardised unconstrained parameter vector, then padding. Output: ``latent``
    elements, then padding, then ``observables`` standardised numbers. Both have ``width`` elements.

    Examples
    --------
    >>> layout = SplitLayout(parameters=4, latent=2, observables=2, width=6)
    >>> layout.latent_slots, layout.padding_slots, layout.observable_slots
    (slice(0, 2, None), slice(2, 4, None), slice(4, 6, None))
    >>> layout
    SplitLayout([parameters 0:4, padding 4:6] -> [latent 0:2, padding 2:4, observables 4:6])
    """

    parameters: int
    latent: int
    observables: int
    width: int

    def __post_init__(self) -> None:
        needed = max(self.parameters, self.latent + self.observables)
        if self.latent < 1 or self.width < needed:
            raise InputError(
                "Split of the output",
                expected=f"one latent element or more, and a width of at least {needed}",
                got=f"{self.latent} latent elements and width {self.width} for {self.parameters} parameters and "
                f"{self.observables} observables",
                do="leave out 'latent' and 'width', or enlarge 'width'",
            )

    @property
    def latent_slots(self) -> slice:
        """Output elements that hold the latent."""
        return slice(0, self.latent)

    @property
    def padding_slots(self) -> slice:
        """Output elements that hold nothing."""
        return slice(self.latent, self.width - self.observables)

    @property
    def observable_slots(self) -> slice:
        """Output elements that hold the observables."""
        return slice(self.width - self.observables, self.width)

    @property
    def input_padding(self) -> int:
        """Input elements after the parameters."""
        return self.width - self.parameters

    @property
    def output_padding(self) -> int:
        """Output elements between latent and observables."""
        return self.width - self.latent - self.observables

    def __repr__(self) -> str:
        def part(name: str, start: int, stop: int) -> list[str]:
            return [f"{name} {start}:{stop}"] if stop > start else []

        edge = self.width - self.observables
        left = part("parameters", 0, self.parameters) + part("padding", self.parameters, self.width)
        right = part("latent", 0, self.latent) + part("padding", self.latent, edge)
        right += part("observables", edge, self.width)
        return f"SplitLayout([{', '.join(left)}] -> [{', '.join(right)}])"


class SplitFlow(Flow):
    """The law of parameters x given observables y, from one bijection of [x, padding] to [z, padding, y].

    To draw, put y and a normal z into the output and run the bijection backwards. The condition is y, followed by
    the context, on which the bijection itself depends.

    Parameters
    ----------
    chain : Bijection
        Of vectors of the width, with the context as condition. ActNorm has no place in it: padding that is almost
        zero would be blown up to unit variance.
    parameters, latent, observables, width : int
        See :class:`SplitLayout`.
    objective : {"mmd", "likelihood"}
    losses : SplitLosses
    """

    gives_latent_codes = False

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
        super().__init__(chain)
        self.layout = SplitLayout(parameters, latent, observables, width)
        check_choice("Argument 'objective'", objective, ("mmd", "likelihood"))
        self.objective = objective
        # Keras keeps the name `losses` for itself.
        self.split_losses = losses

    def build(self, dimension: int, condition_dimension: int) -> None:
        self.dimension = dimension
        self.condition_dimension = condition_dimension
        if not self.chain.built:
            self.chain.build((self.layout.width,), (condition_dimension - self.layout.observables,))
        self.built = True

    def predict(self, x: tf.Tensor, condition: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Latents (n, latent) and standardised observables (n, observables) of parameter vectors x (n, d)."""
        _, context = self._split(condition)
        padding = tf.zeros((tf.shape(x)[0], self.layout.input_padding), x.dtype)
        output, _ = self.chain.forward(tf.concat([x, padding], axis=-1), context)
        return output[:, self.layout.latent_slots], output[:, self.layout.observable_slots]

    def sample(self, n: int | tf.Tensor, condition: tf.Tensor | None = None, *, seed: tf.Tensor) -> tf.Tensor:
        """Draws (m, n, d) for conditions (m, c): observables as they are, padding zero.

        In the likelihood objective the slots have noise around observables and zero, and so they have here.
        """
        y, context = self._split(tf.repeat(_given(condition), n, axis=0))
        noisy = self.objective == "likelihood"
        output = self._output(
            y, seed, self.split_losses.observable_noise * noisy, self.split_losses.padding_noise * noisy
        )
        x, _ = self.chain.inverse(output, context)
        return tf.reshape(x[:, : self.layout.parameters], (-1, n, self.layout.parameters))

    def log_prob(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """Log density (n,) of the likelihood objective, exact without padding; NaN for "mmd", which has none."""
        self._build_for(x, condition)
        if self.objective == "mmd":
            return tf.fill(tf.shape(x)[:1], float("nan"))
        return self._log_density(x, _given(condition), tf.zeros((2,), tf.int32))

    def score(self, x: tf.Tensor, condition: tf.Tensor, seed: tf.Tensor, progress: tf.Tensor | float) -> tf.Tensor:
        """What training maximises, for each row (n,): the log density, or minus the weighted sum of all losses."""
        self._build_for(x, condition)
        if self.objective == "likelihood":
            return self._log_density(x, condition, seed)
        weights = self.split_losses
        # 2 * start^(1 - progress), as the authors' notebook does.
        ramp = tf.minimum(1.0, 2.0 * weights.backward_start ** (1.0 - progress))
        terms = self.terms(x, condition, seed)
        total = tf.add_n([getattr(weights, name) * term for name, term in terms.items() if name != "backward"])
        total += weights.backward * ramp * terms["backward"]
        return tf.fill(tf.shape(x)[:1], -total)

    def terms(self, x: tf.Tensor, condition: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Each loss of the MMD objective, not weighted.

        Parameters
        ----------
        x : tensor (n, d), parameter vectors
        condition : tensor (n, c), their standardised observables and context
        seed : tensor (2,)

        Returns
        -------
        dict of name, as in :class:`SplitLosses`, to tensor ()
        """
        layout, losses = self.layout, self.split_losses
        y, context = self._split(condition)
        streams = seeds.split(seed, 6)
        inputs = tf.concat([x, self._noise(x, layout.input_padding, losses.padding_noise, streams[0])], axis=-1)
        output, _ = self.chain.forward(inputs, context)
        z, predicted = output[:, layout.latent_slots], output[:, layout.observable_slots]
        normal = self._noise(x, layout.latent, 1.0, streams[1])
        latent = mmd_loss(
            tf.concat([z, tf.stop_gradient(predicted)], axis=-1), tf.concat([normal, y], axis=-1), losses.latent_scales
        )
        drawn, _ = self.chain.inverse(
            self._output(y, streams[2], losses.observable_noise, losses.padding_noise), context
        )
        near = None if losses.neighbourhood is None else gaussian_weights(y, losses.neighbourhood)
        backward = mmd_loss(drawn[:, : layout.parameters], x, losses.backward_scales, near)
        shaken = output + tf.concat(
            [
                self._noise(x, layout.latent, losses.latent_noise, streams[3]),
                self._noise(x, layout.output_padding, losses.padding_noise, streams[4]),
                self._noise(x, layout.observables, losses.observable_noise, streams[5]),
            ],
            axis=-1,
        )
        returned, _ = self.chain.inverse(shaken, context)
        padding = tf.concat(
            [output[:, layout.padding_slots], drawn[:, layout.parameters :], returned[:, layout.parameters :]], axis=-1
        )
        return {
            "fit": tf.reduce_mean((predicted - y) ** 2),
            "latent": latent,
            "backward": backward,
            "reconstruction": tf.reduce_mean((returned[:, : layout.parameters] - x) ** 2),
            "padding": tf.reduce_mean(padding**2) if padding.shape[1] else tf.zeros(()),
        }

    def _log_density(self, x: tf.Tensor, condition: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """log q(x, padding | y) - log p(padding), which is log q(x | y) without padding, and below it on average with.

        Padding must be noise here: were it constant, the density could grow without bound along it.
        """
        layout, losses = self.layout, self.split_losses
        y, context = self._split(condition)
        padding = self._noise(x, layout.input_padding, losses.padding_noise, seed)
        output, log_det = self.chain.forward(tf.concat([x, padding], axis=-1), context)
        return (
            log_det
            + _log_normal(output[:, layout.latent_slots], 1.0)
            + _log_normal(output[:, layout.padding_slots], losses.padding_noise)
            + _log_normal(output[:, layout.observable_slots] - y, losses.observable_noise)
            - _log_normal(padding, losses.padding_noise)
        )

    def _output(self, y: tf.Tensor, seed: tf.Tensor, observable_noise: float, padding_noise: float) -> tf.Tensor:
        """Output vectors (n, width) with a normal latent, for observables (n, observables)."""
        latent, padding, observable = seeds.split(seed, 3)
        return tf.concat(
            [
                self._noise(y, self.layout.latent, 1.0, latent),
                self._noise(y, self.layout.output_padding, padding_noise, padding),
                y + self._noise(y, self.layout.observables, observable_noise, observable),
            ],
            axis=-1,
        )

    def _noise(self, like: tf.Tensor, size: int, sd: float, seed: tf.Tensor) -> tf.Tensor:
        return sd * tf.random.stateless_normal((tf.shape(like)[0], size), seed, dtype=like.dtype)

    def _split(self, condition: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Observables and context."""
        context = condition[:, self.layout.observables :]
        return condition[:, : self.layout.observables], context if context.shape[1] else None

    def chain_inputs(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Vectors with their padding, always the same, (n, width), and the context (n, c - observables)."""
        _, context = self._split(_given(condition))
        padding = self._noise(x, self.layout.input_padding, self.split_losses.padding_noise, tf.zeros((2,), tf.int32))
        return tf.concat([x, padding], axis=-1), context


def _given(condition: tf.Tensor | None) -> tf.Tensor:
    if condition is None:
        raise InputError(
            "SplitFlow", expected="observables, as condition", got="None", do="pass condition=standardised observables"
        )
    return tf.convert_to_tensor(condition)


def _log_normal(values: tf.Tensor, sd: float) -> tf.Tensor:
    """Log density (n,) of independent normal elements (n, d)."""
    constant = math.log(sd) + 0.5 * math.log(2.0 * math.pi)
    return -tf.reduce_sum(0.5 * (values / sd) ** 2 + constant, axis=-1)
