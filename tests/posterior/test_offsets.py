"""Numbers that vary little beside their size: what single precision would lose is kept, or said."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.cli.data_files import read_data
from bayesinn.core.files import SavedModel
from bayesinn.posterior.amortized import saved_scaling
from bayesinn.simulation.digits import observable_type, warn_of_lost_digits
from bayesinn.spaces.data import DataSpace, Scaling
from tests.helpers.models import small_flow

tfd = tfp.distributions
SECONDS = 1.7e9
PRIOR = {"a": tfd.Normal(0.0, 1.0)}


@bi.simulator(prior=PRIOR, engine="python", batched=True, workers=1)
def clock(parameters, generator):
    """Seconds since 1970, known to a tenth."""
    noise = 0.1 * generator.normal(size=(len(parameters["a"]), 3))
    return {"time": SECONDS + parameters["a"][:, None] + noise}


@bi.simulator(prior=PRIOR, engine="python", batched=True, workers=1)
def counter(parameters, generator):
    return {"ticks": 2**24 + 1 + generator.poisson(9.0, size=len(parameters["a"]))}


def in_single_precision(offset: float, **options) -> bi.Simulator:
    @bi.simulator(**{"prior": PRIOR, **options})
    def shifted(parameters, *others):
        noise = tf.random.stateless_normal(tf.shape(parameters["a"]), others[-1])
        return {"y": offset + parameters["a"] + 0.1 * noise}

    return shifted


def said(simulator: bi.Simulator, data=None, raw=()) -> list[str]:
    data = simulator.sample(600, seed=1) if data is None else data
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_lost_digits(simulator, data, raw)
    return [str(warning.message) for warning in caught]


def check_posterior(posterior: bi.AmortizedPosterior, data) -> None:
    """With noise of 0.1 in three numbers, the posterior's standard deviation is 0.06."""
    draws = posterior.sample(data, draws=500, seed=1)["a"]
    assert abs(draws.mean() - 1.0) < 0.15
    assert draws.std() < 0.25


@pytest.mark.parametrize("kind", ["online", "arrays", "stream"])
def test_offsets_of_python_functions_arrays_and_banks_lose_nothing(
    kind: str, tmp_path: Path
) -> None:
    given = None
    if kind == "arrays":
        given = clock.sample(2_000, seed=2)
    if kind == "stream":
        given = bi.Stream(bi.simulate_bank(clock, 2_000, tmp_path / "bank", seed=2, progress=False))
    posterior = bi.AmortizedPosterior(clock, flow=small_flow())
    posterior.fit(given, steps=250, batch_size=64, seed=1, progress=False)
    (tmp_path / "data.csv").write_text("time\n" + 3 * f"{SECONDS + 1}\n")
    data = read_data(tmp_path / "data.csv", clock)
    check_posterior(posterior, data)
    loaded = bi.load(posterior.save(tmp_path / "posterior"), clock)
    for name, value in posterior.sample(data, draws=50, seed=3).items():
        np.testing.assert_array_equal(loaded.sample(data, draws=50, seed=3)[name], value)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("offset", [0.0, SECONDS])
def test_scalings_of_single_and_double_precision_are_read_back(
    offset: float, older: bool, tmp_path: Path
) -> None:
    values = offset + np.random.default_rng(1).normal(size=(500, 2))
    fitted = Scaling.fit(values)
    arrays = DataSpace({"y": fitted}, ("y",), (), {}).arrays()
    if older:
        arrays["data/y/scale"] = arrays["data/y/scale"].astype(np.float32)
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        for name, value in arrays.items():
            file[name] = value
        saved = SavedModel(tmp_path, {"compression": {"y": None}}, file)
        found = saved_scaling(saved, "data", "y", (2,))
    assert found.mean.dtype == (np.float64 if offset else np.float32)
    np.testing.assert_array_equal(found.mean, fitted.mean)
    np.testing.assert_allclose(found.scale, fitted.scale, rtol=1e-6)


def test_banks_hold_whole_numbers_beyond_single_precision(tmp_path: Path) -> None:
    bank = bi.simulate_bank(counter, 20, tmp_path / "bank", seed=1, progress=False)
    ticks = bank.read()["ticks"]
    assert np.any(ticks % 2 == 0)
    assert np.any(ticks % 2 == 1)


def test_fit_warns_of_what_a_simulator_has_lost() -> None:
    simulator = in_single_precision(2.45e6)
    with pytest.warns(
        UserWarning, match=r"observable 'y' varies by 1(\.\d)? around 2450000.*keeps no digits"
    ):
        bi.AmortizedPosterior(simulator, flow=small_flow()).fit(
            steps=1, batch_size=32, progress=False
        )


def test_what_is_lost_is_named_with_what_to_do() -> None:
    (lost,) = said(in_single_precision(1e9))
    assert "observable 'y' is 1000000000 in all simulations" in lost
    assert "subtract an offset from it, in the simulator and in data" in lost
    (few,) = said(in_single_precision(3e4))
    assert "keeps 2 digits" in few
    assert said(in_single_precision(1e3)) == []
    # Parameters are drawn in single precision, context most often.
    (lost,) = said(in_single_precision(-1e9, prior={"a": tfd.Normal(1e9, 1.0)}))[:1]
    assert lost.startswith("parameter 'a' is 1000000000 in all simulations")
    (lost,) = said(in_single_precision(0.0, context={"day": tfd.Normal(2.45e6, 1.0)}))
    assert lost.startswith("context 'day' varies by")
    assert "declare its difference from a constant" in lost
    assert (
        said(in_single_precision(0.0, context={"n": tfd.FiniteDiscrete([7.0], probs=[1.0])})) == []
    )


def test_an_offset_is_no_advice_for_zeros() -> None:
    nothing = {"y": np.zeros((600, 2), np.float32)}
    (lost,) = said(in_single_precision(0.0), nothing)
    assert "observable 'y' is 0 in all simulations: posteriors can't depend on it; look" in lost
    assert "offset" not in lost
    # Zero in the mean, but it varies.
    signs = {"y": np.tile(np.array([[1.0], [-1.0]], np.float32), (300, 2))}
    assert said(in_single_precision(0.0), signs) == []


def test_a_finer_type_loses_nothing_unless_networks_see_it_raw() -> None:
    data = clock.sample(600, seed=1)
    assert said(clock, {"time": data["time"]}) == []
    (lost,) = said(clock, {"time": data["time"]}, raw=("time",))
    assert "observable 'time'" in lost


def test_constants_with_rounding_are_no_loss() -> None:
    generator = np.random.default_rng(1)
    start = (1e4 * (1.0 + 1e-7 * generator.integers(-1, 2, 600))).astype(np.float32)
    values = np.stack([start, generator.normal(size=600).astype(np.float32)], axis=1)
    assert said(in_single_precision(0.0), {"y": values}) == []
    assert Scaling.fit(values).mean.dtype == np.float32
    shares = generator.dirichlet([1.0, 1.0, 1.0], 600)
    whole = np.column_stack([shares, shares.sum(axis=1)])
    assert Scaling.fit(whole).scale[3] == 1.0


def test_padding_is_no_variation() -> None:
    counts = np.array([1, 2] * 300)
    values = np.full((600, 2), 1e9, np.float32)
    values[counts == 1, 1] = 0.0

    @bi.simulator(
        prior=PRIOR,
        context={"n": tfd.FiniteDiscrete([1, 2], probs=[0.5, 0.5])},
        lengths={"y": "n"},
    )
    def padded(parameters, context, seed):
        return {"y": tf.repeat(parameters["a"][:, None], 2, axis=1)}

    (lost,) = said(padded, {"y": values, "n": counts})
    assert "is 1000000000 in all simulations" in lost


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1.0, 2.0, 4.0], "f4"),
        ([100, 101, 120], "f4"),
        ([7.0, 7.0, 7.0], "f4"),
        ([np.inf, np.nan, 7.0], "f4"),
        ([2_450_000.1, 2_450_700.0, 2_450_900.0], "f8"),
        ([30_000_001, 5, 80], "f8"),
        ([1.0, 1.0 + 1e-6, 1.0 - 1e-6], "f8"),
    ],
)
def test_single_precision_is_kept_where_it_is_enough(values: list[float], kind: str) -> None:
    assert observable_type(np.array(values)) == np.dtype(kind)
