"""The flow of coupling blocks."""

from __future__ import annotations

from collections.abc import Sequence

from bayesinn.bijections.coupling import Coupling
from bayesinn.bijections.transforms import Transform
from bayesinn.flows.invertible import InvertibleFlow
from bayesinn.flows.latents import Latent
from bayesinn.flows.recipes.stack import stack


def coupling(
    blocks: int = 6,
    hidden: Sequence[int] = (128, 128),
    transform: Transform | None = None,
    mixing: str = "orthogonal",
    actnorm: bool = True,
    latent: Latent | None = None,
    activation: str = "silu",
    dropout: float = 0.0,
    reversible: bool = False,
) -> InvertibleFlow:
    """A flow of coupling blocks: the conditional invertible network of BayesFlow.

    Each block is ActNorm, a mixing layer, and a :class:`Coupling` of both halves. Nothing has weights yet: the flow
    takes its dimensions from the first data it meets.

    Parameters
    ----------
    blocks : int
        Number of blocks.
    hidden : sequence of int
        Units of the hidden layers in each subnet; there are two subnets in a block.
    transform : Transform, optional
        What couplings do to each element: ``Affine()``, or for posteriors with several modes, thin curves or sharp
        edges ``Composed([Affine(), Spline()])``. The affine part moves the box of the spline's knots to where the
        posterior is, and does better than ``Spline()`` alone. Left out, it is affine for two elements or more. A single
        element gets an affine map and a spline in each block, because affine maps alone could only give a Gaussian.
    mixing : {"orthogonal", "permutation", "householder", "lu"}
        How elements are mixed before each coupling: a fixed random rotation, a fixed random permutation, or a map that
        is learned. Prefer the permutation for hundreds of parameters.
    actnorm : bool
        Whether blocks begin with ActNorm.
    latent : Latent, optional
        The standard normal if left out.
    activation : str
        Activation of the hidden layers, any that Keras knows.
    dropout : float
        Share of hidden units dropped in training.
    reversible : bool
        Train without storing activations; see :class:`Chain`.

    Returns
    -------
    InvertibleFlow

    Raises
    ------
    InputError
        For a mixing that doesn't exist, and fewer blocks than one.

    References
    ----------
    Radev, Mertens, Voss, Ardizzone and Köthe (2020), BayesFlow: learning complex stochastic models with invertible
    neural networks, arXiv:2003.06281.

    Examples
    --------
    >>> coupling(blocks=2, hidden=(64, 64))
    InvertibleFlow(chain=Chain(2 * [ActNorm(), Orthogonal(), Coupling(hidden=(64, 64))]))
    """
    hidden = tuple(hidden)
    return stack(
        "coupling",
        lambda: Coupling(transform, hidden=hidden, activation=activation, dropout=dropout),
        blocks,
        mixing,
        actnorm,
        latent,
        reversible,
    )
