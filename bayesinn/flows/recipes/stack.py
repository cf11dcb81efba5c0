"""What all recipes share: blocks of ActNorm, a mixing layer, and the layer that the recipe is named after."""

from __future__ import annotations

from collections.abc import Callable

from bayesinn.bijections.actnorm import ActNorm
from bayesinn.bijections.bijection import Bijection
from bayesinn.bijections.chain import Chain
from bayesinn.bijections.householder import Householder
from bayesinn.bijections.lu import LULinear
from bayesinn.bijections.orthogonal import Orthogonal
from bayesinn.bijections.permutation import Permutation
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_choice
from bayesinn.flows.invertible import InvertibleFlow
from bayesinn.flows.latents import Latent

#: How elements are mixed between blocks.
MIXINGS: dict[str, Callable[[], Bijection]] = {
    "orthogonal": Orthogonal,
    "permutation": Permutation,
    "householder": Householder,
    "lu": LULinear,
}


def stack(
    recipe: str,
    block: Callable[[], Bijection],
    blocks: int,
    mixing: str | None,
    actnorm: bool,
    latent: Latent | None,
    reversible: bool = False,
) -> InvertibleFlow:
    """Put blocks one after another.

    Parameters
    ----------
    recipe : str
        Name of the function that the user called, for errors.
    block : callable
        Makes a new block.
    blocks, mixing, actnorm, latent, reversible
        As for :func:`coupling`; without ``mixing``, nothing is mixed.
    """
    if mixing is not None:
        check_choice(f"{recipe}(), argument 'mixing'", mixing, MIXINGS)
    if isinstance(blocks, bool) or not isinstance(blocks, int) or blocks < 1:
        raise InputError(
            f"{recipe}(), argument 'blocks'", expected="1 or more", got=f"{blocks!r}", do="start with blocks=6"
        )
    chain: list[Bijection] = []
    for _ in range(blocks):
        if actnorm:
            chain.append(ActNorm())
        if mixing is not None:
            chain.append(MIXINGS[mixing]())
        chain.append(block())
    return InvertibleFlow(Chain(chain, reversible=reversible), latent)
