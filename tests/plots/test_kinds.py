"""Figure functions refuse arguments of other kinds by name, all in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesinn as bi
from bayesinn.core.errors import InputError

DRAWS = {"a": np.arange(9.0)}
IMAGES = np.zeros((2, 3, 4, 4)) + np.arange(4.0)
TEXT = pd.DataFrame({"step": [1], "loss": ["b"]})
RECOVERY = bi.diagnostics.recovery(
    {"a": np.arange(9.0)}, {"a": np.arange(36.0).reshape(9, 4)}, {"a": np.arange(9.0)}
)
WRONG: dict[str, Callable[[], Any]] = {
    "'draws' of bi.plots.pairs": lambda: bi.plots.pairs([1.0, 2.0]),
    "'truth' of bi.plots.pairs": lambda: bi.plots.pairs(DRAWS, truth=[1.0]),
    "'labels' of bi.plots.marginals": lambda: bi.plots.marginals(DRAWS, labels=None),
    "'labels' of bi.plots.forest": lambda: bi.plots.forest(DRAWS, labels={}),
    "'figure' of bi.plots.marginals": lambda: bi.plots.marginals(DRAWS, figure="x"),
    "'shown' of bi.plots.marginals": lambda: bi.plots.marginals(DRAWS, shown=3),
    "'result' of bi.plots.coverage": lambda: bi.plots.coverage(None),
    "'result' of bi.plots.recovery": lambda: bi.plots.recovery("x"),
    "'history' of bi.plots.loss": lambda: bi.plots.loss({}),
    "prior\n": lambda: bi.plots.pairs(DRAWS, prior={"a": 1.0}),
    "posterior draws": lambda: bi.plots.overlay({"u": np.arange(4.0)}),
    "image_grid, argument 'limits'": lambda: bi.plots.image_grid(IMAGES, limits=(0,)),
    "walk, argument 'limits'": lambda: bi.plots.latent_walk(IMAGES, np.arange(3.0), limits=3),
    "'images' of bi.plots.latent_walk": lambda: bi.plots.latent_walk({"a": 1}, np.arange(3.0)),
    "'effect' of bi.plots.latent": lambda: bi.plots.latent_walk(IMAGES, range(3), effect="x"),
    "'images' of bi.plots.heat_map": lambda: bi.plots.heat_map({"a": 1}, IMAGES[0, :2]),
    "'maps' of bi.plots.heat_map": lambda: bi.plots.heat_map(IMAGES[0], "x"),
    "'draws' of bi.plots.posterior_p": lambda: bi.plots.posterior_predictive("x"),
    "'observed' of bi.plots.posterior_p": lambda: bi.plots.posterior_predictive(
        IMAGES[0, 0], {"a": 1}
    ),
    "'times' of bi.plots.prior_p": lambda: bi.plots.prior_predictive(IMAGES[0, 0], times="x"),
    "recovery, argument 'most'": lambda: bi.plots.recovery(RECOVERY, most=0),
    "loss, argument 'floor'": lambda: bi.plots.loss(TEXT, floor=np.nan),
    "history, column 'loss'": lambda: bi.plots.loss(TEXT),
    "training history": lambda: bi.plots.losses({"u": "x"}),
    "truth of 'a'": lambda: bi.plots.marginals(DRAWS, truth={"a": "x"}),
}


@pytest.mark.parametrize("subject", WRONG)
def test_arguments_of_other_kinds_are_refused_by_name(subject: str) -> None:
    with pytest.raises(InputError, match=subject):
        WRONG[subject]()


def test_masked_pixels_are_missing_and_dates_are_places() -> None:
    masked = np.ma.masked_equal(IMAGES, 1.0)
    shown = bi.plots.image_grid(masked, limits=np.array([0.0, 9.0])).axes[0].images[0].get_array()
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) == 5  # four greys and gaps; one in blue
    dates = np.arange("2020-01-01", "2020-01-05", dtype="datetime64[D]")
    bi.plots.posterior_predictive(IMAGES[0, 0] + np.arange(4.0)[:, None], times=dates)
