"""The flow of hierarchical blocks."""

from __future__ import annotations

from collections.abc import Sequence

from bayesinn.bijections.hierarchical import Hierarchical
from bayesinn.bijections.transforms import Transform
from bayesinn.flows.invertible import InvertibleFlow
from bayesinn.flows.latents import Latent
from bayesinn.flows.recipes.stack import stack


def hint(
    blocks: int = 4,
    hidden: Sequence[int] = (64, 64),
    transform: Transform | None = None,
    mixing: str = "orthogonal",
    actnorm: bool = True,
    latent: Latent | None = None,
    activation: str = "silu",
    dropout: float = 0.0,
    levels: int | None = None,
    reversible: bool = False,
) -> InvertibleFlow:
    """A flow of hierarchical blocks: couplings inside the halves of couplings, down to single elements.

    Every element depends on nearly every other within one block, and both directions take one pass. The paper is that
    of :class:`Hierarchical`.

    Parameters
    ----------
    blocks : int
        Number of blocks.
    hidden : sequence of int
        Units of the hidden layers in the subnet of the outermost split; each level further in has half as many, at
        least 16.
    transform : Transform, optional
        What is done to each element; see :func:`coupling`.
    mixing : {"orthogonal", "permutation", "householder", "lu"}
        How elements are mixed before each block.
    actnorm, latent, activation, dropout
        As for :func:`coupling`.
    levels : int, optional
        How often groups are split; down to single elements if left out.
    reversible : bool
        Train without storing activations; see :class:`Chain`.

    Examples
    --------
    >>> hint(blocks=2)
    InvertibleFlow(chain=Chain(2 * [ActNorm(), Orthogonal(), Hierarchical(hidden=(64, 64))]))
    """
    hidden = tuple(hidden)
    return stack(
        "hint",
        lambda: Hierarchical(transform, hidden, activation, dropout, levels),
        blocks,
        mixing,
        actnorm,
        latent,
        reversible,
    )
