"""Complete flows in one call."""

from __future__ import annotations

from collections.abc import Sequence

from bayesinn.errors import InputError
from bayesinn.flows.actnorm import ActNorm
from bayesinn.flows.bijection import Bijection
from bayesinn.flows.chain import Chain
from bayesinn.flows.coupling_block import Coupling
from bayesinn.flows.flow import Flow
from bayesinn.flows.latents import Latent
from bayesinn.flows.orthogonal import Orthogonal
from bayesinn.flows.permutation import Permutation
from bayesinn.flows.transforms import Transform

MIXINGS: dict[str, type[Bijection]] = {"orthogonal": Orthogonal, "permutation": Permutation}


def coupling(
    blocks: int = 6,
    hidden: Sequence[int] = (128, 128),
    transform: Transform | None = None,
    mixing: str = "orthogonal",
    actnorm: bool = True,
    latent: Latent | None = None,
    activation: str = "silu",
    dropout: float = 0.0,
) -> Flow:
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
        What couplings do to each element: ``Affine()``, or ``Spline()`` for posteriors with several modes or sharp
        edges. Left out, it is affine for two elements or more. A single element gets an affine map and a spline in
        each block, because affine maps alone could only give a Gaussian.
    mixing : {"orthogonal", "permutation"}
        How elements are mixed before each coupling: a fixed random rotation or a fixed random permutation. Prefer
        the permutation for hundreds of parameters.
    actnorm : bool
        Whether blocks begin with ActNorm.
    latent : Latent, optional
        The standard normal if left out.
    activation : str
        Activation of the hidden layers, any that Keras knows.
    dropout : float
        Share of hidden units dropped in training.

    Returns
    -------
    Flow

    References
    ----------
    Radev, Mertens, Voss, Ardizzone and Köthe (2020), BayesFlow: learning complex stochastic models with invertible
    neural networks, arXiv:2003.06281.

    Examples
    --------
    >>> coupling(blocks=2, hidden=(64, 64))
    Flow(chain=Chain(2 * [ActNorm(), Orthogonal(), Coupling(hidden=(64, 64))]))
    """
    if mixing not in MIXINGS:
        raise InputError(
            "coupling(), argument 'mixing'",
            expected=" or ".join(repr(name) for name in MIXINGS),
            got=f"{mixing!r}",
            do="choose one of them",
        )
    if blocks < 1:
        raise InputError(
            "coupling(), argument 'blocks'", expected="1 or more", got=f"{blocks!r}", do="start with blocks=6"
        )
    chain: list[Bijection] = []
    for _ in range(blocks):
        if actnorm:
            chain.append(ActNorm())
        chain.append(MIXINGS[mixing]())
        chain.append(Coupling(transform, hidden=tuple(hidden), activation=activation, dropout=dropout))
    return Flow(Chain(chain), latent)
