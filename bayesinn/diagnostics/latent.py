"""Latent codes: whether true parameters are mapped to typical draws from the latent distribution."""

from __future__ import annotations

import numpy as np

from bayesinn.diagnostics.sbc import SBCResult, sbc


def latent_codes(latent: np.ndarray, reference: np.ndarray, *, seed: int, level: float = 0.99) -> SBCResult:
    """Test the latent codes (n, d) of the true parameters, and their distance from the centre.

    The flow maps the posterior of every data set to the latent distribution, so the codes of the truths are like draws
    (n, L, d) from it, the reference, if the posterior is correct. The distance from the centre is how typical a pair of
    parameters and data is (column ``distance``): too large on the whole means too narrow posteriors; a single large one
    marks a pair that is unlike the simulations.
    """
    latent, reference = np.asarray(latent), np.asarray(reference)
    codes = {"latent": latent, "distance": np.linalg.norm(latent, axis=-1)}
    draws = {"latent": reference, "distance": np.linalg.norm(reference, axis=-1)}
    return sbc(codes, draws, seed=seed, level=level)
