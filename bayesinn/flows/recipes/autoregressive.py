"""The flow of autoregressive blocks."""

from __future__ import annotations

from collections.abc import Sequence

from bayesinn.bijections.autoregressive import Autoregressive
from bayesinn.bijections.transforms import Transform
from bayesinn.flows.invertible import InvertibleFlow
from bayesinn.flows.latents import Latent
from bayesinn.flows.recipes.stack import stack


def autoregressive(
    blocks: int = 5,
    hidden: Sequence[int] = (128, 128),
    transform: Transform | None = None,
    mixing: str = "orthogonal",
    actnorm: bool = True,
    latent: Latent | None = None,
    activation: str = "silu",
    dropout: float = 0.0,
    direction: str = "density",
) -> InvertibleFlow:
    """A flow of autoregressive blocks: each element is transformed given all before it.

    More flexible than a coupling with as many blocks, and as fast to train; in the other direction it takes one pass
    for each element, so that sampling is slow for many parameters. The papers are those of :class:`Autoregressive`.

    Parameters
    ----------
    blocks : int
        Number of blocks.
    hidden : sequence of int
        Units of the hidden layers in each masked network, at least as many as elements.
    transform : Transform, optional
        What is done to each element; see :func:`coupling`.
    mixing : {"orthogonal", "permutation", "householder", "lu"}
        How elements are mixed before each block.
    actnorm, latent, activation, dropout
        As for :func:`coupling`.
    direction : {"density", "sampling"}
        Which direction takes one pass: ``"density"`` (masked autoregressive flow) to train on simulations,
        ``"sampling"`` (inverse autoregressive flow) where draws must be fast and training may be slow.

    Examples
    --------
    >>> autoregressive(blocks=2, hidden=(64, 64), mixing="permutation")
    InvertibleFlow(chain=Chain(2 * [ActNorm(), Permutation(), Autoregressive(hidden=(64, 64))]))
    """
    hidden = tuple(hidden)
    return stack(
        "autoregressive",
        lambda: Autoregressive(transform, hidden, activation, dropout, direction),
        blocks,
        mixing,
        actnorm,
        latent,
    )
