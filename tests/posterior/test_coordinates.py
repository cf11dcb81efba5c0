"""Coordinates that a simulator declares are those of results, saved files and figures."""

from __future__ import annotations

from pathlib import Path

import arviz as az
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn import plots
from bayesinn.core.errors import InputError
from bayesinn.plots.predictive import prior_predictive
from tests.helpers.untrained import untrained

HOURS = np.array([0.25, 0.5, 1.0, 2.0, 4.0, 8.0])
DATES = np.datetime64("2020-03-01") + np.arange(20)


@bi.simulator(
    prior={"clearance": tfp.distributions.LogNormal(0.0, 0.5)},
    labels={"hours": "time since dose"},
    units={"hours": "h", "concentration": "mg/l"},
    coordinates={"concentration": {"hours": HOURS}, "cases": {"date": DATES}},
)
def dosed(parameters, seed):
    rate = parameters["clearance"][:, None]
    noise = tf.random.stateless_normal((tf.shape(rate)[0], 26), seed)
    cases = tf.stack([noise[:, 6:], noise[:, 6:] + rate], axis=-1)
    return {
        "concentration": tf.exp(-rate * tf.constant(HOURS, tf.float32)) + 0.1 * noise[:, :6],
        "cases": cases,
    }


@pytest.fixture(scope="module")
def posterior() -> bi.AmortizedPosterior:
    return untrained(dosed)


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    return {
        name: value[0] for name, value in dosed.sample(1, seed=1).items() if name != "clearance"
    }


def test_trees_and_their_files_hold_coordinates(posterior, data, tmp_path: Path) -> None:
    tree = posterior.infer(data, draws=30, seed=1)
    tree.to_netcdf(tmp_path / "posterior.nc", engine="h5netcdf")
    with az.from_netcdf(tmp_path / "posterior.nc", engine="h5netcdf") as saved:
        for found in (tree, saved):
            for group, leading in (
                ("posterior_predictive", ("chain", "draw")),
                ("observed_data", ()),
            ):
                assert found[group]["concentration"].dims == (*leading, "hours")
                assert found[group]["cases"].dims == (*leading, "date", "cases_dim_1")
                assert np.array_equal(found[group]["hours"], HOURS)
                assert np.array_equal(found[group]["date"].values.astype("datetime64[D]"), DATES)
                assert found[group]["hours"].attrs["units"] == "h"
                assert found[group]["hours"].attrs["long_name"] == "time since dose"
            assert "hours" not in found["posterior"].coords
    many = posterior.infer(
        {name: np.stack([value] * 2) for name, value in data.items()}, draws=30, seed=1
    )
    assert many["posterior_predictive"]["concentration"].dims == (
        "chain",
        "draw",
        "observation",
        "hours",
    )
    at_two_hours = many["observed_data"]["concentration"].sel(hours=2.0)
    assert at_two_hours.values == pytest.approx(np.full(2, data["concentration"][3]))


def test_a_saved_posterior_keeps_them(posterior, data, tmp_path: Path) -> None:
    posterior.training = {"settings": {"steps": 1}}
    posterior.save(tmp_path / "saved")
    tree = bi.load(tmp_path / "saved").infer(data, draws=30, seed=1)
    assert np.array_equal(tree["observed_data"]["hours"], HOURS)


def test_figures_are_drawn_over_them(posterior, data) -> None:
    tree = posterior.infer(data, draws=30, seed=1)
    values = tree["posterior_predictive"]["concentration"].values[0]
    figures = [
        plots.posterior_predictive(tree, name="concentration"),
        plots.posterior_predictive(
            values, data["concentration"], name="concentration", labels=dosed.labels
        ),
        prior_predictive(
            values, name="concentration", labels=dosed.labels, observed=data["concentration"]
        ),
    ]
    for figure in figures:
        (ax,) = figure.axes
        assert ax.get_xlabel() == "time since dose [h]"
        observed = next(line for line in ax.lines if line.get_label() == "observed")
        assert np.array_equal(observed.get_xdata(), HOURS)
    for cases in (
        plots.posterior_predictive(tree, name="cases"),
        prior_predictive(
            tree["posterior_predictive"]["cases"].values[0], name="cases", labels=dosed.labels
        ),
    ):
        cases.draw_without_rendering()
        assert " ".join(cases.axes[0].get_xlabel().split()) == "date, 2020-03-01 to 2020-03-20"
        ticks = [label.get_text() for label in cases.axes[0].get_xticklabels()]
        assert any(tick.endswith(" Mar") for tick in ticks)
        assert len(ticks) <= 8


def test_places_given_at_the_call_come_first(data) -> None:
    draws = np.random.default_rng(1).normal(size=(30, 4))
    with pytest.raises(InputError, match=r"(?s)'concentration'.*4 steps.*6 places.*times="):
        plots.posterior_predictive(draws, name="concentration", labels=dosed.labels)
    figure = plots.posterior_predictive(
        draws, name="concentration", labels=dosed.labels, times=HOURS[2:]
    )
    assert figure.axes[0].lines[-1].get_xdata().tolist() == HOURS[2:].tolist()


def test_a_seed_of_any_size_is_saved(posterior, data, tmp_path) -> None:
    tree = posterior.infer(data, draws=5, seed=2**70, predictive=False)
    tree.to_netcdf(tmp_path / "posterior.nc", engine="h5netcdf")
    with az.from_netcdf(tmp_path / "posterior.nc", engine="h5netcdf") as saved:
        assert saved.attrs["seed"] == str(2**70)
