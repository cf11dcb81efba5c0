"""The flow of autoregressive blocks."""

from __future__ import annotations

from collections.abc import Sequence

from bayesinn.flows.autoregressive_block import Autoregressive
from bayesinn.flows.flow import Flow
from bayesinn.flows.latents import Latent
from bayesinn.flows.recipes.stack import stack
from bayesinn.flows.transforms import Transform


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
) -> Flow:
    """A flow of autoregressive blocks: each element is transformed given all before it.

    More flexible than a coupling with as many blocks, and as fast to train; in the other direction it takes one pass
    for each element, so that sampling is slow for many parameters.

    Parameters
    ----------
    blocks : int
        Number of blocks.
    hidden : sequence of int
        Units of the hidden layers in each masked network, at least as many as elements.
    transform : Transform, optional
        What is done to each element: ``Affine()``, or ``Spline()`` for posteriors with several modes or sharp edges.
        Left out, it is affine for two elements or more, affine and a spline for one.
    mixing : {"orthogonal", "permutation", "householder", "lu"}
        How elements are mixed before each block.
    actnorm : bool
        Whether blocks begin with ActNorm.
    latent : Latent, optional
        The standard normal if left out.
    activation : str
        Activation of the hidden layers, any that Keras knows.
    dropout : float
        Share of hidden units dropped in training.
    direction : {"density", "sampling"}
        Which direction takes one pass: ``"density"`` (masked autoregressive flow) to train on simulations,
        ``"sampling"`` (inverse autoregressive flow) where draws must be fast and training may be slow.

    Returns
    -------
    Flow

    Raises
    ------
    InputError
        For a mixing or direction that doesn't exist, and fewer blocks than one.

    References
    ----------
    Papamakarios, Pavlakou and Murray (2017), Masked autoregressive flow for density estimation, arXiv:1705.07057.
    Kingma et al. (2016), Improving variational inference with inverse autoregressive flow, arXiv:1606.04934.

    Examples
    --------
    >>> autoregressive(blocks=2, hidden=(64, 64), mixing="permutation")
    Flow(chain=Chain(2 * [ActNorm(), Permutation(), Autoregressive(hidden=(64, 64))]))
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
