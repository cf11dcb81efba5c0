"""Figure functions refuse arguments of other kinds by name, all in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bayesinn as bi
from bayesinn.core.errors import InputError

DRAWS = {"a": np.arange(9.0)}
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
    "truth of 'a'": lambda: bi.plots.marginals(DRAWS, truth={"a": "x"}),
}


@pytest.mark.parametrize("subject", WRONG)
def test_arguments_of_other_kinds_are_refused_by_name(subject: str) -> None:
    with pytest.raises(InputError, match=subject):
        WRONG[subject]()
