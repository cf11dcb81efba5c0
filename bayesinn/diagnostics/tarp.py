"""TARP: expected coverage of balls around reference points, a test of the joint posterior that needs draws only."""

from __future__ import annotations

import numpy as np

from bayesinn.core import seeds
from bayesinn.diagnostics.arrays import Arrays, by_column, paired
from bayesinn.diagnostics.uniformity import UniformityResult, pit, uniformity


def tarp(
    truth: Arrays, draws: Arrays, references: Arrays | None = None, *, seed: int, level: float = 0.99
) -> UniformityResult:
    """Count the draws that lie nearer to a reference point than the truth: their share is uniform if all is correct.

    Tests of accuracy with random points: Lemos et al. 2023, "Sampling-based accuracy testing of posterior estimators
    for general inference", arXiv:2302.03026. If the reference points do not depend on the data, a posterior that is
    no more than the prior passes. With points that follow the data (a rough estimate of the parameters, made without
    the posterior under test), it fails, and passing for all such points is the mark of the correct posterior.

    Parameters
    ----------
    references : dict of name to array (n, *event), optional
        One reference point for each data set: any function of the data and of random numbers, but not of the truth.
        If left out, points at random from the box that the truths and draws fill. The result has the column ``joint``.
    """
    pairs = paired(truth, draws)
    # Truth and draws together, so that nothing below treats them differently: the share is then exactly uniform.
    together = np.concatenate([pairs.truth[:, None], pairs.draws], axis=1)
    if references is None:
        low, high = np.quantile(together, [0.005, 0.995], axis=(0, 1))
        points = seeds.generator(seed, "tarp").uniform(low, high, size=pairs.truth.shape)
    else:
        points = by_column("references", references, truth, rows=len(pairs.truth))
    # Parameters count alike in units of the usual posterior width; the median, because of single heavy tails.
    scale = np.median(together.std(axis=1), axis=0)
    scale[scale == 0.0] = 1.0
    distance = np.linalg.norm((together - points[:, None]) / scale, axis=-1)
    share = pit(distance[:, 0], distance[:, 1:], seed=seed)
    return uniformity(("joint",), share[:, None], level=level)
