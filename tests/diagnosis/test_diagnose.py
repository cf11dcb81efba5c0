"""`bi.diagnose` on a trained posterior: what it looks at, what it says, and what it refuses."""

from __future__ import annotations

import importlib
import inspect

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

import bayesinn as bi
from bayesinn.core import errors
from bayesinn.diagnosis import evidence
from bayesinn.diagnosis.evidence import count_densities, most_densities
from bayesinn.plots.calibration import SYMBOLS
from bayesinn.plots.panels import RED
from tests.helpers.models import small_flow
from tests.helpers.untrained import untrained

tfd = tfp.distributions


@bi.simulator(
    prior={"mean": tfd.Normal(0.0, 1.0), "shift": tfd.Normal(0.0, 0.5)},
    units={"mean": "mm"},
    observed={"x": np.array([0.3, 0.5], np.float32)},
    log_likelihood=lambda parameters, data: (
        -0.5
        * sum(
            (data["x"][index] - parameters["mean"] - index * parameters["shift"]) ** 2 / 0.25
            for index in (0, 1)
        )
    ),
)
def two_readings(parameters, seed):
    """Two readings of a mean, the second shifted."""
    mean = tf.stack([parameters["mean"], parameters["mean"] + parameters["shift"]], axis=1)
    return {"x": mean + 0.5 * tf.random.stateless_normal(tf.shape(mean), seed)}


def posterior_of_prior(simulator: bi.Simulator) -> bi.SampledPosterior:
    """A posterior without density, which is never asked."""
    return bi.SampledPosterior(simulator, lambda data, draws, seed: pytest.fail("asked"))


class Standard(bi.Posterior):
    """A normal posterior by the protocol: densities (n_obs, draws) of (n_obs, draws) parameters."""

    simulator = two_readings
    density = "exact"

    def sample(self, data, *, draws=1_000, seed=0):
        noise = np.random.default_rng(seed).normal(size=(2, len(data["x"]), draws))
        return {"mean": noise[0], "shift": noise[1]}

    def log_prob(self, parameters, data):
        count, _ = parameters["mean"].shape
        assert count == len(data["x"])
        squared = parameters["mean"] ** 2 + parameters["shift"] ** 2
        return -0.5 * squared - np.log(2.0 * np.pi)


@pytest.fixture(scope="module")
def posterior() -> bi.AmortizedPosterior:
    return bi.AmortizedPosterior(two_readings, flow=small_flow()).fit(
        steps=1_000, seed=1, progress=False
    )


@pytest.fixture(scope="module")
def diagnosis(posterior: bi.AmortizedPosterior):
    return bi.diagnose(posterior, simulations=300, draws=100, seed=1, progress=False)


def test_everything_is_looked_at_and_no_error_is_found_in_a_correct_posterior(diagnosis) -> None:
    assert list(diagnosis.verdict.index) == [
        "SBC",
        "coverage",
        "joint coverage",
        "TARP",
        "dependence",
        "fit to the data",
        "latent codes",
        "L-C2ST",
        "posterior SBC",
        "observation",
        "predictive",
        "sharpness",
        "recovery",
        "information gain",
    ]
    assert not diagnosis.outside, diagnosis
    assert diagnosis["quantities"] is None
    assert diagnosis["fit_to_data"].columns == ("log likelihood",)
    assert diagnosis.about["Simulator"] == "two_readings"
    assert diagnosis.about["Training"] == "1,000 steps of 256, seed 1"
    assert diagnosis.about["Model"] == "Two readings of a mean, the second shifted."
    assert diagnosis.about["Data"] == "x: 2 values"
    # Code stands at the end, and in the head nothing but words.
    assert "Network" not in diagnosis.about
    assert "Coupling" in diagnosis.settings["network"]
    assert diagnosis.settings["tolerances"]["nats for each parameter"] == 0.1
    assert diagnosis.model.title == "The model: two_readings"
    assert diagnosis.model.table.loc["mean", "Unit"] == "mm"
    assert diagnosis.model.table.loc["shift", "Prior"] == "Normal(loc=0.0, scale=0.5)"
    assert not diagnosis["observation"].out_of_distribution
    assert diagnosis["local"].draws["mean"].shape == (1_000,)
    # Exact: 0.5 log det(I + A A' / 0.25) = 0.5 log 14, A the design with prior sds. Found 1.29,
    # 1.05 and 1.41 for seeds 1, 2 and 3; the standard error is 0.06, and that of seed 2 is chance:
    # its truths vary too little.
    assert diagnosis["information"].joint_mean == pytest.approx(0.5 * np.log(14.0), abs=0.2)


@pytest.mark.parametrize("wrong", [False, True])
def test_no_figure_contradicts_its_grade(diagnosis, wrong: bool) -> None:
    """Words and colours of a figure are those of the row, whatever a p-value or a band says."""
    found = diagnosis
    if wrong:
        found = bi.diagnose(Standard(), simulations=300, draws=50, seed=1, progress=False)
        assert found.outside
    for finding in found.findings:
        grade = found.verdict.loc[finding.check.name, "grade"]
        assert grade == finding.grade
        for name, (draw, _) in finding.check.figures.items():
            judged = "errors" in inspect.signature(draw).parameters
            options = {"errors": finding.errors} if judged else {}
            figure = draw(finding.result, labels=found.evidence.labels, **options)
            titles = [axes.get_title() for axes in figure.axes]
            names = [text for legend in figure.legends for text in legend.get_texts()]
            said = " ".join([*titles, *(text.get_text() for text in names)])
            bad = grade in ("outside", "flagged")
            assert ("\N{BALLOT X}" in said) <= bad, name
            assert any(word in said for word in ("outside", "failing", "flagged")) <= bad, name
            lines = {to_hex(line.get_color()) for line in figure.findobj(Line2D)}
            assert (RED.lower() in lines) <= bad, name
            title = " ".join(titles[0].split())
            if judged and title and len(finding.errors["column"].unique()) == 1:
                assert f"{SYMBOLS[grade]} " in title, name
                assert f" of {finding.worst['tolerance']:g}" in title, name


def test_the_same_seed_gives_the_same_numbers(posterior, diagnosis) -> None:
    again = bi.diagnose(posterior, simulations=300, draws=100, seed=1, progress=False)
    assert again.verdict.equals(diagnosis.verdict)


def test_an_odd_observation_fails_though_the_posterior_is_correct(posterior) -> None:
    odd = bi.diagnose(
        posterior, simulations=100, draws=50, seed=3, observed={"x": [40.0, -40.0]}, progress=False
    )
    assert odd["observation"].out_of_distribution
    assert "observation" in odd.outside
    assert odd.grade == "outside"


def test_predictive_draws_suffice_at_the_level(posterior) -> None:
    found = bi.diagnose(posterior, simulations=60, draws=30, level=0.995, seed=1, progress=False)
    assert len(found["predictive"].replicated) == 16_000 > found["predictive"].draws_needed


def test_users_quantities_are_tested_and_wrong_shapes_refused(posterior) -> None:
    asked = {
        "sum": lambda parameters, data: parameters["mean"] + parameters["shift"] * data["x"][0]
    }
    result = bi.diagnose(
        posterior, simulations=100, draws=50, seed=2, quantities=asked, progress=False
    )
    assert result["quantities"].columns == ("sum",)
    with pytest.raises(
        errors.InputError, match=r"(?s)test quantity 'sum'.*shape \(51,\).*shape \(\)"
    ):
        bi.diagnose(
            posterior,
            simulations=100,
            draws=50,
            seed=2,
            quantities={"sum": lambda *_: 1.0},
            progress=False,
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"observed": {"x": np.zeros((3, 2))}}, "one observation, without batch axis"),
        ({"observed": np.zeros(2)}, r"a dict with \['x'\]"),
        ({"larger": "posterior.h5"}, "(?s)'larger'.*a trained posterior"),
        ({"larger": bi.AmortizedPosterior(two_readings)}, "never trained"),
        ({"larger": posterior_of_prior(two_readings)}, "(?s)'larger'.*a posterior with a density"),
        (
            {"larger": posterior_of_prior(bi.get_simulator("linear"))},
            "(?s)'larger'.*the same simulator",
        ),
        ({"quantities": {"mean": len}}, "(?s)quantity 'mean'.*a name that no parameter has"),
        ({"quantities": {"sum": 1.0}}, "(?s)quantity 'sum'.*a function"),
        ({"quantities": {1: len}}, "(?s)'quantities', each name.*a text"),
    ],
)
def test_mistakes_are_found_before_anything_is_simulated(
    posterior, monkeypatch, given: dict, message: str
) -> None:
    monkeypatch.setattr("bayesinn.diagnosis.evidence.simulate", lambda *_: pytest.fail("simulated"))
    with pytest.raises(errors.InputError, match=message):
        bi.diagnose(posterior, simulations=50, draws=20, progress=False, **given)


def test_levels_are_checked_first(posterior) -> None:
    with pytest.raises(errors.InputError, match=r"(?s)'level'.*above 0, below 1.*1\.0"):
        bi.diagnose(posterior, level=1.0)


def test_progress_names_the_stages(posterior, capsys) -> None:
    bi.diagnose(posterior, simulations=50, draws=20, seed=1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("diagnosing: simulating 50 data sets")
    assert lines[-1].startswith("diagnosing: done")


def test_many_observations_of_a_shifted_population(posterior) -> None:
    own = two_readings.sample(30, seed=5)["x"]
    assert bi.diagnose_observations(posterior, {"x": own}, seed=1).passed
    # p-value at its smallest, 1 / 501, for seeds 1, 2, 3.
    assert not bi.diagnose_observations(posterior, {"x": own + 2.0}, seed=1).passed
    with pytest.raises(errors.InputError, match="a batch of them"):
        bi.diagnose_observations(posterior, {"x": own[0]})


def test_many_observations_at_any_level(posterior, monkeypatch) -> None:
    own = two_readings.sample(5, seed=5)["x"]
    result = bi.diagnose_observations(posterior, {"x": own}, seed=1, level=0.999)
    assert len(result.null) == 2_000
    assert result.simulated == 2_000
    monkeypatch.setattr(
        "bayesinn.diagnosis.diagnosis.simulate", lambda *_: pytest.fail("simulated")
    )
    with pytest.raises(errors.InputError, match="'level'"):
        bi.diagnose_observations(posterior, {"x": own}, level=1.0)
    with pytest.raises(errors.InputError, match=r"(?s)'simulations'.*2,000 or more.*1000"):
        bi.diagnose_observations(posterior, {"x": own}, simulations=1_000, level=0.999)


def test_functions_are_not_hidden_by_modules_of_their_name() -> None:
    for name, module in bi._NAMES.items():
        importlib.import_module(module)
        assert callable(getattr(bi, name)), name
        assert module != f"bayesinn.{name}", (
            f"importing {module} would replace bi.{name} by the module"
        )


def test_draws_that_can_not_have_made_the_data_rank_lowest() -> None:
    """Without them, infeasible draws would have a log likelihood that no rank can be taken of."""

    def feasible(mean):
        return mean > -1.0

    def log_likelihood(parameters, data):
        density = -0.5 * (data["x"] - parameters["mean"]) ** 2
        return np.where(feasible(parameters["mean"]), density, -np.inf)

    @bi.simulator(
        prior={"mean": tfd.Normal(0.0, 1.0)}, on_nonfinite="redraw", log_likelihood=log_likelihood
    )
    def bounded(parameters, seed):
        noise = tf.random.stateless_normal(tf.shape(parameters["mean"]), seed)
        return {"x": tf.where(feasible(parameters["mean"]), parameters["mean"] + noise, np.nan)}

    rough = bi.AmortizedPosterior(bounded, flow=small_flow(blocks=1, hidden=(8,))).fit(
        steps=20, progress=False
    )
    found = bi.diagnose(rough, simulations=60, draws=50, seed=1, progress=False)
    assert np.isfinite(found["sbc"].p_value).all()


def test_densities_that_are_integrals_are_evaluated_for_the_first_data_sets(
    monkeypatch, capsys
) -> None:
    """With 10,000 data sets and two integers, all of them would take hours."""

    @bi.simulator(
        prior={"count": tfd.Binomial(6.0, probs=0.5)},
        observed={"x": np.float32(2.5)},
        log_likelihood=lambda parameters, data: -0.5 * (data["x"] - parameters["count"]) ** 2,
    )
    def noisy_count(parameters, seed):
        return {"x": parameters["count"] + tf.random.stateless_normal((), seed)}

    posterior = bi.AmortizedPosterior(noisy_count, flow=small_flow(), networks=1)
    posterior.fit(steps=500, seed=1, progress=False)
    # 32 evaluations for each of 10 draws; around the observation, for each of 50.
    monkeypatch.setattr(evidence, "_MOST_EVALUATIONS", 32 * 10 * 40)
    found = bi.diagnose(posterior, simulations=100, draws=60, seed=1)
    told = capsys.readouterr().out
    assert "evaluating densities of draws: 0 of 40 data sets" in told
    assert "evaluating densities of draws: 36 of 40 data sets" in told
    of_truth, of_draws = found.evidence.log_prob
    assert of_truth.shape == (100,)
    assert of_draws.shape == (40, 10)
    drawn = found.evidence.draws["count"]
    observed = {"x": found.evidence.data["x"][39]}
    expected = posterior.log_prob({"count": drawn[39, :10]}, observed)
    np.testing.assert_allclose(of_draws[39], expected, atol=1e-4)
    assert found["sbc"].simulations == 100
    assert found["joint_coverage"].simulations == 40
    assert found["sharpness"].at_least.shape == (40,)
    assert found["posterior_sbc"].simulations == 8
    assert "posterior SBC uses 8 data sets at most" in found.text


def test_truths_like_the_observation_are_draws_of_all_networks() -> None:
    """Networks take turns: every third draw is one of the first."""

    class InTurn(Standard):
        def sample(self, data, *, draws=1_000, seed=0):
            turns = np.arange(draws) % 3 + np.zeros((len(data["x"]), 1))
            return {"mean": turns, "shift": turns}

    found = bi.diagnose(InTurn(), simulations=60, draws=23, seed=1, progress=False)
    values, _ = found.evidence.observation.replicates
    for place in (0, 1):
        assert set(values["mean"][:, place]) == {0.0, 1.0, 2.0}


def test_densities_of_how_many_draws_follows_from_what_each_costs() -> None:
    @bi.simulator(prior={"counts": tfd.Sample(tfd.Poisson(3.0), 2)})
    def sums(parameters, seed):
        return {"x": tf.reduce_sum(parameters["counts"], axis=1)}

    pair = untrained(sums).given({"x": np.ones(1)})
    plain = posterior_of_prior(two_readings).given({"x": np.ones((1, 2))})
    assert count_densities(plain, 10_000, 200) == (10_000, 200)
    # Draws are cut before data sets: ranks among ten are as exact as among fifty.
    assert count_densities(pair, 10_000, 200) == (6_944, 10)
    assert count_densities(pair, 3_000, 200) == (3_000, 23)
    assert count_densities(pair, 100, 20) == (100, 20)
    # Weights of proposals need them.
    assert count_densities(pair, 10_000, 200, 50) == (1_388, 50)
    assert [most_densities(given, 200) for given in (plain, pair)] == [np.inf, 6_944]


def test_sets_may_be_empty_and_levels_high() -> None:
    @bi.simulator(
        prior={"mean": tfd.Normal(0.0, 1.0)}, context={"n": tfd.Poisson(1.0)}, lengths={"x": "n"}
    )
    def readings(parameters, context, seed):
        mean = parameters["mean"][:, None]
        return {"x": mean + tf.random.stateless_normal((tf.shape(mean)[0], 20), seed)}

    posterior = bi.AmortizedPosterior(
        readings, bi.summaries.DeepSet(8, hidden=(8,)), small_flow(blocks=1, hidden=(8,))
    )
    posterior.fit(steps=5, batch_size=32, seed=1, progress=False)
    observed = {"x": np.zeros(20), "n": 0}
    found = bi.diagnose(
        posterior, observed=observed, simulations=60, draws=30, level=0.999, seed=1, progress=False
    )
    assert len(found["local"].null) == 2_000


def test_no_density_near_the_observation_is_an_error_and_costs_no_check() -> None:
    """Uniform posteriors that are too narrow: none of their draws may have a density elsewhere."""

    def sample(data, draws, seed):
        centre = data["x"].mean(axis=1, keepdims=True)
        noise = np.random.default_rng(seed).uniform(-0.1, 0.1, (2, len(centre), draws))
        return {"mean": centre + noise[0], "shift": noise[1]}

    def log_prob(parameters, data):
        centre = data["x"].mean(axis=1, keepdims=True)
        inside = np.abs(parameters["mean"] - centre) < 0.1
        return np.where(inside, -np.log(0.04), -np.inf)

    found = bi.diagnose(
        bi.SampledPosterior(two_readings, sample, log_prob),
        simulations=100,
        draws=30,
        seed=1,
        progress=False,
    )
    assert {"SBC", "posterior SBC"} <= set(found.outside)
    assert "no density at the truth and all proposals of" in found["posterior_sbc"].summary


def test_a_larger_fit_is_asked_by_the_protocol(posterior, monkeypatch) -> None:
    monkeypatch.setattr(two_readings, "log_likelihood", None)
    found = bi.diagnose(
        Standard(), larger=Standard(), simulations=40, draws=20, seed=1, progress=False
    )
    assert found["sharpness"].summary
    own, other = found.evidence.log_prob[0], found.evidence.other_log_prob
    assert np.array_equal(own, other)


def test_an_undefined_likelihood_is_told_and_costs_no_other_check(posterior) -> None:
    simulator = posterior.simulator
    known = simulator.log_likelihood
    simulator.log_likelihood = lambda parameters, data: np.where(
        np.asarray(parameters["mean"]) > 2.5, np.nan, known(parameters, data)
    )
    try:
        found = bi.diagnose(posterior, simulations=60, draws=20, seed=1, progress=False)
    finally:
        simulator.log_likelihood = known
    assert "the log likelihood is NaN for" in str(found)
    assert "SBC" in found.verdict.index


@pytest.mark.filterwarnings("ignore:invalid value")
def test_an_undefined_test_quantity_is_told_and_costs_no_other_check(posterior) -> None:
    asked = {"log mean": lambda parameters, data: np.log(parameters["mean"])}
    found = bi.diagnose(
        posterior, simulations=60, draws=20, seed=1, quantities=asked, progress=False
    )
    assert "test quantities: not run, test quantity 'log mean' is NaN or infinite" in str(found)
    assert "SBC" in found.verdict.index


def test_the_call_that_decides_has_all_options(posterior) -> None:
    found = bi.diagnose(
        posterior,
        simulations=60,
        draws=20,
        tolerances=bi.diagnosis.Tolerances(coverage=9.0),
        level=0.95,
        progress=False,
    )
    call = found.again("draws", 400)
    assert call.startswith("bi.diagnose(posterior, draws=400, simulations=60, level=0.95")
    assert "tolerances=tolerances" in call


def test_an_untrained_posterior_is_refused_before_anything_is_simulated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulator = bi.get_simulator("linear")
    monkeypatch.setattr(type(simulator), "draw", lambda *_: pytest.fail("simulated"))
    untrained = bi.AmortizedPosterior(simulator)
    for posterior in (untrained, bi.Ensemble([untrained])):
        with pytest.raises(errors.InputError, match="never trained"):
            bi.diagnose(posterior, progress=False)
