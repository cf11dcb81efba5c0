"""Ensembles against the exact mixture of exact posteriors."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.posterior.answers import Given, share_between
from bayesinn.posterior.typicality import Typicality
from bayesinn.spaces.observations import check_observations

tfd = tfp.distributions
SD = np.sqrt(0.5)


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)})
def one_number(parameters, seed):
    return {
        "x": parameters["mean"]
        + tf.random.stateless_normal((tf.shape(parameters["mean"])[0],), seed)
    }


def shifted(shift: float) -> bi.SampledPosterior:
    """The exact posterior, N(x / 2, 1 / 2), moved."""

    def sample(data, draws, seed):
        noise = np.random.default_rng(seed).normal(size=(len(data["x"]), draws))
        return {"mean": data["x"][:, None] / 2 + shift + SD * noise}

    def log_prob(parameters, data):
        return scipy.stats.norm.logpdf(parameters["mean"], data["x"][:, None] / 2 + shift, SD)

    return bi.SampledPosterior(one_number, sample, log_prob)


def test_density_and_draws_are_those_of_the_mixture() -> None:
    ensemble = bi.Ensemble([shifted(0.0), shifted(2.0)], weights=[3.0, 1.0])
    assert ensemble.weights.tolist() == [0.75, 0.25]
    grid = np.linspace(-5.0, 8.0, 2_001)
    normal = scipy.stats.norm
    density = 0.75 * normal.pdf(grid, 0.5, SD) + 0.25 * normal.pdf(grid, 2.5, SD)
    np.testing.assert_allclose(np.exp(ensemble.log_prob({"mean": grid}, {"x": 1.0})), density)
    draws = ensemble.sample({"x": np.array([1.0, -1.0])}, draws=20_000, seed=1)["mean"]
    assert draws.shape == (2, 20_000)
    for values, x in zip(draws, (1.0, -1.0), strict=True):

        def cdf(value, x=x):
            return 0.75 * normal.cdf(value, x / 2, SD) + 0.25 * normal.cdf(value, x / 2 + 2.0, SD)

        # One in a thousand samples of this size is farther from the mixture.
        assert scipy.stats.kstest(values, cdf).pvalue > 1e-3
    again = ensemble.sample({"x": np.array([1.0, -1.0])}, draws=20_000, seed=1)["mean"]
    np.testing.assert_array_equal(draws, again)


def test_weights_go_to_the_member_that_is_correct() -> None:
    members = [shifted(0.7), shifted(0.0), shifted(-2.0)]
    ensemble = bi.Ensemble.weighted(members, one_number.sample(2_000, seed=1))
    assert ensemble.weights[1] > 0.95
    assert ensemble.weights.sum() == pytest.approx(1.0)


class Interval(bi.Posterior):
    """A uniform posterior about x / 2, as the protocol has it: draws (n_obs, draws)."""

    simulator = one_number
    density = "exact"

    def __init__(self, width: float) -> None:
        self.width = width

    def sample(self, data, *, draws=1_000, seed=0):
        noise = np.random.default_rng(seed).uniform(-1.0, 1.0, (len(data["x"]), draws))
        return {"mean": data["x"][:, None] / 2 + self.width * noise}

    def log_prob(self, parameters, data):
        inside = np.abs(parameters["mean"] - data["x"][:, None] / 2) < self.width
        return np.where(inside, -np.log(2.0 * self.width), -np.inf)


def test_truths_that_no_member_thinks_possible_decide_nothing() -> None:
    rows = {"mean": np.array([0.1, -0.2, 0.9, 7.0]), "x": np.zeros(4)}
    weights = bi.Ensemble.weighted([Interval(0.5), Interval(1.0)], rows).weights
    # Two of three truths are in both intervals: (2 / 3) log(1 + w) + (1 / 3) log(1 - w) is largest.
    assert weights[0] == pytest.approx(1 / 3, abs=1e-3)
    with pytest.raises(InputError, match="a density under some member"):
        bi.Ensemble.weighted([Interval(0.5)], {"mean": [7.0], "x": [0.0]})


def with_history(
    losses: list[float], nats: bool = True, held_out: str | None = "rows"
) -> bi.SampledPosterior:
    class Known(bi.SampledPosterior):
        history = pd.DataFrame({"val_loss": losses})
        training: ClassVar = {"held_out": held_out}

    Known.nats = nats
    base = shifted(0.0)
    return Known(one_number, base.sample, base.log_prob)


def test_weights_by_the_loss_on_held_out_simulations() -> None:
    # The weights of the best epoch are kept, not those of the last.
    members = [with_history([3.0, 1.0, 2.0]), with_history([2.5, 2.0])]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weights = bi.Ensemble(members, weights="validation").weights
    np.testing.assert_allclose(weights, np.array([np.e, 1.0]) / (np.e + 1.0))
    for other in (shifted(0.0), with_history([1.0], nats=False)):
        with pytest.raises(InputError, match=r"validation.*\n.*whose losses are in nats"):
            bi.Ensemble([members[0], other], weights="validation")
    with pytest.raises(InputError, match="argument 'weights'"):
        bi.Ensemble(members, weights="validated")


@pytest.mark.parametrize("held_out", ["other rows", None])
def test_losses_on_different_simulations_are_warned_of(held_out: str | None) -> None:
    members = [with_history([1.0]), with_history([2.0], held_out=held_out)]
    with pytest.warns(UserWarning, match="different simulations"):
        bi.Ensemble(members, weights="validation")


def test_disagreement_is_the_variance_between_members() -> None:
    ensemble = bi.Ensemble([shifted(0.0), shifted(1.0)])
    share = ensemble.disagreement({"x": np.zeros(3)}, draws=20_000, seed=1)["mean"]
    # Means half a unit from their centre, members of variance one half.
    np.testing.assert_allclose(share, 0.25 / 0.75, atol=0.02)
    with pytest.raises(InputError, match="'draws'"):
        ensemble.disagreement({"x": np.zeros(3)}, draws=1)


@pytest.mark.parametrize("unit", [1e30, 1e-30])
def test_disagreement_does_not_depend_on_units(unit: float) -> None:
    noise = np.random.default_rng(1).normal(size=(2, 3, 500, 2)).astype("f4")
    members = noise + np.float32(10.0)
    members[1] += [0.0, 2.0]
    half = np.array([0.5, 0.5])
    (expected,), (found,) = (
        share_between([{"mass": part} for part in drawn], half).values()
        for drawn in (members, members * np.float32(unit))
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.all(found[:, 1] > 0.3)


def test_disagreement_is_told_once_where_it_matters() -> None:
    data = {"x": np.zeros(3)}
    apart = bi.Ensemble([shifted(0.0), shifted(2.0)])
    for ask in (apart.sample, apart.infer):
        with pytest.warns(UserWarning, match=r"disagree at 3 of 3 observations.*'mean', 6") as told:
            ask(data, draws=400, seed=1)
        assert len(told) == 1
    with pytest.warns(UserWarning, match="members of the ensemble disagree here"):
        apart.sample({"x": 0.5}, seed=1)
    # Chance alone moves the means of a few draws apart; members that hardly weigh don't matter.
    for quiet in (
        bi.Ensemble([shifted(0.0), shifted(0.1)]),
        bi.Ensemble([shifted(0.0), shifted(2.0)], weights=[0.99, 0.01]),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            quiet.sample({"x": np.zeros(200)}, draws=120, seed=1)
            quiet.sample({"x": np.zeros(200)}, draws=10, seed=1)


def test_diagnosis_tells_where_members_disagree(tmp_path: Path) -> None:
    options = {"simulations": 60, "draws": 20, "seed": 1, "observed": {"x": 0.5}}
    apart = bi.diagnose(bi.Ensemble([shifted(0.0), shifted(2.0)]), **options, progress=False)
    assert apart["members"].often.tolist() == [1.0]
    # Means one unit from their centre.
    np.testing.assert_allclose(apart["members"].disagreement, 1.0 / 1.5, atol=0.1)
    assert apart.verdict.loc["members", "grade"] == "flagged"
    assert "have not learned the posterior where they disagree" in " ".join(apart.actions)
    assert "and at the observation (mean: 6" in apart.to_html(tmp_path / "page.html").read_text()
    alike = bi.diagnose(bi.Ensemble([shifted(0.0), shifted(0.1)]), **options, progress=False)
    assert alike.verdict.loc["members", "grade"] == ""
    assert alike["members"].disagreement < 0.02
    # Of one posterior there is nothing to say.
    one = bi.diagnose(shifted(0.0), **options, progress=False)
    assert "members" not in repr(one)


class KnownGiven(Given):
    def __init__(self, p_value: float, *rest) -> None:
        super().__init__(*rest)
        self.p_value = p_value

    @property
    def typicality(self) -> Typicality:
        rows = len(self.features)
        return Typicality(np.full(rows, self.p_value), np.full(rows, "gap in time"), 0.001)


class Known(bi.Posterior):
    """A posterior that knows how typical data are."""

    simulator = one_number

    def __init__(self, p_value: float) -> None:
        self.p_value = p_value

    def sample(self, data, *, draws=1_000, seed=0):
        return shifted(0.0).sample(data, draws=draws, seed=seed)

    def given(self, data):
        arrays = check_observations(self.simulator, data).arrays
        return KnownGiven(self.p_value, self.simulator, self.sample, self.log_prob, arrays)


def test_p_values_of_members_are_combined() -> None:
    draws = bi.Ensemble([Known(0.001), Known(0.007)]).sample({"x": np.zeros(2)}, draws=20, seed=1)
    # Twice the mean is a p-value, however the members depend on each other.
    np.testing.assert_allclose(draws.p_value, 0.008)
    assert draws.unusual.tolist() == ["gap in time", "gap in time"]
    assert draws.out_of_distribution.all()
    one = bi.Ensemble([Known(0.6), Known(0.8)]).infer({"x": 0.5}, draws=20, seed=1)
    assert float(one.sample_stats["out_of_distribution_p"]) == 1.0
    # What a member doesn't know is absent, never made up.
    mixed = bi.Ensemble([Known(0.5), shifted(0.0)])
    assert type(mixed.sample({"x": 0.5}, draws=20, seed=1)) is dict
    assert "out_of_distribution_p" not in mixed.infer({"x": 0.5}, draws=20, seed=1).sample_stats


def test_any_posterior_answers_for_arviz() -> None:
    for posterior in (shifted(0.0), bi.Ensemble([shifted(0.0), shifted(0.1)])):
        tree = posterior.infer({"x": np.array([0.5, 1.5])}, draws=100, seed=1)
        assert tree.posterior["mean"].dims == ("chain", "draw", "observation")
        assert tree.posterior_predictive["x"].sizes == {"chain": 1, "draw": 100, "observation": 2}
        np.testing.assert_allclose(
            tree.sample_stats["lp"][0].T,
            posterior.log_prob({"mean": tree.posterior["mean"][0].values.T}, {"x": [0.5, 1.5]}),
        )
    with pytest.raises(InputError, match="'draws'"):
        shifted(0.0).infer({"x": 0.5}, draws=0)


def test_a_population_is_tested_without_networks() -> None:
    own = one_number.sample(100, seed=3)["x"]
    for posterior in (shifted(0.0), bi.Ensemble([shifted(0.0), shifted(0.1)])):
        assert bi.diagnose_observations(posterior, {"x": own}, seed=1).passed
        assert not bi.diagnose_observations(posterior, {"x": own + 2.0}, seed=1).passed
    with pytest.raises(InputError, match="a posterior"):
        bi.diagnose_observations(len, {"x": own})


def test_a_correct_function_passes_and_a_shifted_one_fails() -> None:
    options = {"simulations": 1_000, "draws": 100, "seed": 1, "progress": False}
    assert bi.diagnose(shifted(0.0), **options).grade != "outside"
    wrong = bi.diagnose(bi.Ensemble([shifted(0.4), shifted(0.5)]), **options)
    assert wrong.grade == "outside"


def test_what_does_not_fit_is_explained() -> None:
    with pytest.raises(InputError, match="a list of posteriors"):
        bi.Ensemble([])
    with pytest.raises(InputError, match="a posterior"):
        bi.Ensemble([shifted(0.0), len])
    with pytest.raises(InputError, match="not all of them 0"):
        bi.Ensemble([shifted(0.0), shifted(1.0)], weights=[0.0, 0.0])
    with pytest.raises(InputError, match=r"(?s)posteriors of one simulator.*with shapes"):
        bi.Ensemble([shifted(0.0), bi.AmortizedPosterior(bi.get_simulator("linear"))])
    for options, message in (
        ({"prior": {"mean": tfd.Normal(5.0, 1.0)}}, r"prior mean.*loc=0\.0.*loc=5\.0"),
        ({"prior": {"mean": tfd.Normal(0.0, 1.0)}, "units": {"mean": "km"}}, "units.*km"),
    ):
        other = bi.simulator(**options, name="another")(one_number.function)
        with pytest.raises(InputError, match=f"(?s){message}"):
            bi.Ensemble([shifted(0.0), bi.AmortizedPosterior(other)])
    same = bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, name="same")(one_number.function)
    bi.Ensemble([shifted(0.0), bi.AmortizedPosterior(same)])
    with pytest.raises(InputError, match="real numbers"):
        bi.Ensemble([shifted(0.0), shifted(1.0)], weights=["a", "b"])
    short = bi.SampledPosterior(one_number, lambda data, draws, seed: {"mean": np.zeros((1, 3))})
    with pytest.raises(InputError, match="5 draws for each of 1"):
        short.sample({"x": 0.5}, draws=5)
    with pytest.raises(InputError, match="a posterior with a density"):
        short.log_prob({"mean": 0.0}, {"x": 0.5})
