"""Exact posteriors to diagnose, and broken ones: normal mean, known variance, all is known.

Prior N(0, 1), datum N(theta, 1): the posterior is N(datum / 2, 1 / 2).
"""

from __future__ import annotations

import numpy as np

Arrays = dict[str, np.ndarray]


def normal(
    *,
    size: int = 500,
    draws: int = 200,
    event: tuple[int, ...] = (),
    shift: float = 0.0,
    width: float = 1.0,
    seed: int = 0,
) -> tuple[Arrays, Arrays, Arrays]:
    """Truth, draws and prior; the posterior is exact unless shifted or widened.

    The shift and the width are in posterior standard deviations.
    """
    generator = np.random.default_rng(seed)
    truth = generator.normal(size=(size, *event))
    datum = truth + generator.normal(size=truth.shape)
    noise = generator.normal(size=(size, draws, *event))
    posterior = datum[:, None] / 2.0 + np.sqrt(0.5) * (shift + width * noise)
    return {"mean": truth}, {"mean": posterior}, {"mean": generator.normal(size=(2000, *event))}


def count(*, size: int = 500, draws: int = 200, seed: int = 0) -> tuple[Arrays, Arrays]:
    """A discrete parameter: prior uniform on 0, 1, 2, a datum equal to it 6 times in 10."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 3, size=size)
    wrong = (truth + generator.integers(1, 3, size=size)) % 3
    datum = np.where(generator.random(size) < 0.6, truth, wrong)
    other = (datum[:, None] + generator.integers(1, 3, size=(size, draws))) % 3
    posterior = np.where(generator.random((size, draws)) < 0.6, datum[:, None], other)
    return {"count": truth}, {"count": posterior}
