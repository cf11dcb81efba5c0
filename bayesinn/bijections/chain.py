"""Bijections one after another."""

from collections.abc import Iterator, Sequence
from functools import partial

import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, Mapped, constant_log_det, in_turn
from bayesinn.bijections.condition import EVERY
from bayesinn.bijections.repeated import Apply, apply_groups, equal_groups
from bayesinn.bijections.reversible import reversible_forward
from bayesinn.core.compilation import is_for_xla
from bayesinn.core.errors import InputError
from bayesinn.core.warning import warn

WARN_ABOVE = 1e-3
STORE_ABOVE = 1e-2


class Chain(Bijection):
    """Apply bijections in the order given; log-determinants add.

    Each bijection gets events of the shape that the last one gave. XLA compiles links that differ
    only in their weights once, as one loop.

    A reversible chain trains with memory for the activations of one link, whatever their number:
    the backward pass recomputes them from the chain's output. That takes about 1.6 times as long.
    Its gradients are as exact as the inverse; see :meth:`check_round_trip`. A bijection with a
    rough inverse declares ``accurate_inverse = False`` and is refused. An inverse by iteration is
    accepted if it runs to convergence.

    Parameters
    ----------
    bijections : sequence of Bijection
        Each is an object of its own: a chain doesn't share weights between links.
    reversible : bool, whether to recompute activations in place of storing them

    References
    ----------
    Gomez et al. (2017), The reversible residual network, arXiv:1707.04585.
    Behrmann et al. (2021), Understanding and mitigating exploding inverses, arXiv:2006.09347.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from bayesinn.bijections import ActNorm, Coupling, Permutation
    >>> chain = Chain([ActNorm(), Permutation(), Coupling(), ActNorm(), Permutation(), Coupling()])
    >>> chain
    Chain(2 * [ActNorm(), Permutation(), Coupling()])
    >>> [value.shape for value in chain.forward(tf.ones((10, 3)))]
    [TensorShape([10, 3]), TensorShape([10])]
    """

    reads = EVERY
    event_rank = None
    shares_conditions = True

    def __init__(self, bijections: Sequence[Bijection], reversible: bool = False) -> None:
        super().__init__()
        distinct = len({id(bijection) for bijection in bijections})
        if not all(isinstance(bijection, Bijection) for bijection in bijections) or distinct != len(
            bijections
        ):
            raise InputError(
                "Chain, argument 'bijections'",
                expected="bijections, each an object of its own",
                got=f"{bijections!r}",
                do="make each one anew: Chain([Coupling() for _ in range(6)]), not 6 * "
                "[Coupling()]",
            )
        self.bijections = list(bijections)
        self.reversible = reversible
        self.stores_activations = not reversible
        self._warned_of: set[str] = set()
        rough = [bijection for bijection in bijections if not bijection.accurate_inverse]
        self.accurate_inverse = not rough
        self.repeats = not reversible and all(bijection.repeats for bijection in bijections)
        if reversible and rough:
            raise InputError(
                "Chain, argument 'reversible'",
                expected="bijections with an accurate inverse, from which inputs can be recomputed",
                got=f"{rough[0]!r}, whose inverse is rough",
                do="leave out reversible=True, or put the other bijections into a reversible "
                "chain of their own",
            )

    @property
    def entries(self) -> frozenset[str]:
        return frozenset().union(*(bijection.entries for bijection in self.bijections))

    @property
    def xla_pays(self) -> bool:  # type: ignore[override]
        return all(bijection.xla_pays for bijection in self.bijections)

    @property
    def final_rotation(self) -> Bijection | None:
        return self.bijections[-1].final_rotation if self.bijections else None

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        shape = tuple(event_shape)
        for bijection in self.bijections:
            bijection.build(shape, condition_shape)
            shape = bijection.latent_shape
        super().build(event_shape, condition_shape)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        shape = event_shape
        for bijection in self.bijections:
            shape = tuple(bijection.output_shape(shape))
        return shape

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if not self.stores_activations:
            return reversible_forward(self.bijections, x, condition)
        return self._apply(self.bijections, lambda link, x: link.forward(x, condition), x)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        links = self.bijections[::-1]
        return self._apply(links, lambda link, z: link.inverse(z, condition), z)

    def initialize(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> None:
        for bijection, events in self.walk(x, condition):
            bijection.initialize(events, condition)
        if self.reversible and tf.executing_eagerly():
            self.check_round_trip(x, condition)

    def walk(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> Iterator[tuple[Bijection, tf.Tensor]]:
        """Yield each link with the events that reach it; its weights may be set before the next."""
        for bijection in self.bijections:
            yield bijection, x
            x, _ = bijection.forward(x, condition)

    def check_round_trip(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> float:
        """Warn if the inverse has become inexact; stop recomputing activations if it is even worse.

        In deep stacks, large scales amplify rounding errors until gradients are wrong, without any
        NaN. Above an error of 1e-3 there is one warning. Above 1e-2, or if the error isn't a
        number, a reversible chain stores its activations until a later check finds it better;
        compiled functions must then be compiled again. Training checks after each epoch; your own
        loop should call this eagerly. Returns the :meth:`round_trip_error`.
        """
        error = float(self.round_trip_error(x, condition))
        self.apply_round_trip_error(error)
        return error

    def round_trip_error(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """Return the largest error () of inverse(forward(x)), relative to elements above one."""
        z, _ = self.forward(x, condition)
        back, _ = self.inverse(z, condition)
        x = tf.cast(x, back.dtype)
        return tf.reduce_max(tf.abs(back - x) / tf.maximum(tf.abs(x), 1.0))

    def apply_round_trip_error(self, error: float) -> None:
        """Warn, or change how activations are kept; see :meth:`check_round_trip`."""
        self.stores_activations = not self.reversible or not error <= STORE_ABOVE
        consequence = "the gradients of a reversible chain are inexact"
        if self.reversible and self.stores_activations:
            consequence = "activations are stored while that lasts, as with reversible=False"
        if not error <= WARN_ABOVE and consequence not in self._warned_of:
            self._warned_of.add(consequence)
            found = f"recomputed inputs are off by {error:.2g}, {consequence}"
            do = "Bound the scales more tightly (Affine(clamp=1.0)), or take fewer blocks."
            warn(f"Chain of {len(self.bijections)} bijections: {found}. {do}")

    def _apply(self, links: Sequence[Bijection], apply: Apply, x: tf.Tensor) -> Mapped:
        """Apply links one after another, equal ones in a loop if XLA compiles them."""
        total = constant_log_det(x)
        if not is_for_xla():
            return in_turn([partial(apply, link) for link in links], x, total)
        for groups in equal_groups(links):
            if len(groups) > 1:
                x, total = apply_groups(groups, apply, x, total)
            else:
                x, total = in_turn([partial(apply, link) for link in groups[0]], x, total)
        return x, total

    def __repr__(self) -> str:
        links = list(map(repr, self.bijections))
        option = ", reversible=True" if self.reversible else ""
        for length in range(1, len(links) // 2 + 1):
            repeats = len(links) // length
            if links == repeats * links[:length]:
                return f"Chain({repeats} * [{', '.join(links[:length])}]{option})"
        return f"Chain([{', '.join(links)}]{option})"


def reversible_chains(bijection: Bijection) -> list[Chain]:
    """Return all reversible chains in a bijection, also inside one another; outer ones first."""
    if not isinstance(bijection, Chain):
        return []
    inner = [chain for link in bijection.bijections for chain in reversible_chains(link)]
    return [bijection, *inner] if bijection.reversible else inner


def round_trip_errors(
    bijection: Bijection, x: tf.Tensor, condition: tf.Tensor | None = None
) -> list[tf.Tensor]:
    """Return the error () of each chain of :func:`reversible_chains`, in this order.

    The error of a chain is measured at the events that reach it.
    """
    if not isinstance(bijection, Chain) or not reversible_chains(bijection):
        return []
    errors = [bijection.round_trip_error(x, condition)] if bijection.reversible else []
    for link, events in bijection.walk(x, condition):
        errors += round_trip_errors(link, events, condition)
    return errors
