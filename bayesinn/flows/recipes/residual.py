"""The flow of residual blocks."""

from __future__ import annotations

from collections.abc import Sequence

from bayesinn.bijections.residual.residual import Residual
from bayesinn.flows.invertible import InvertibleFlow
from bayesinn.flows.latents import Latent
from bayesinn.flows.recipes.stack import stack


def residual(
    blocks: int = 10,
    hidden: Sequence[int] = (64, 64),
    lipschitz: float = 0.9,
    actnorm: bool = True,
    latent: Latent | None = None,
    log_det: str = "exact",
) -> InvertibleFlow:
    """A flow of residual blocks: z = x + g(x), where g is a contraction.

    No element is held back, so that nothing has to be mixed; densities are smooth. The inverse is found by iteration,
    and sampling is slower than with couplings. The papers are those of :class:`Residual`.

    Parameters
    ----------
    blocks : int
        Number of blocks; each can do little, so take more than of couplings.
    hidden : sequence of int
        Units of the hidden layers in each block.
    lipschitz : float
        Bound of how much g can stretch a distance, below 1; nearer to 1 is more flexible and slower to invert.
    actnorm : bool
        Whether blocks begin with ActNorm: the only place where a flow of contractions can stretch by much.
    latent : Latent, optional
        The standard normal if left out.
    log_det : {"exact", "truncated", "unbiased"}
        How log-determinants are computed in training; see :class:`Residual`.

    Examples
    --------
    >>> residual(blocks=2)
    InvertibleFlow(chain=Chain(2 * [ActNorm(), Residual()]))
    """
    hidden = tuple(hidden)
    return stack(
        "residual",
        lambda: Residual(hidden=hidden, lipschitz=lipschitz, log_det=log_det),
        blocks,
        None,
        actnorm,
        latent,
    )
