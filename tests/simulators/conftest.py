"""Simulations that several tests share."""

import numpy as np
import pytest

import bayesinn as bi


@pytest.fixture(scope="session")
def draws() -> dict[str, np.ndarray]:
    """Of the Covid-19 model with their parameters, in single precision as they are drawn."""
    return bi.get_simulator("covid19").sample(4000, seed=1)
