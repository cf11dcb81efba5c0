"""An observation in the wrong unit: which observable, and by what factor."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.diagnosis.evidence import check_unbatched, observe
from bayesinn.diagnosis.report.sections import observed_section
from bayesinn.posterior.unusual import _list_units

tfd = tfp.distributions


@pytest.fixture(scope="module")
def posterior() -> bi.AmortizedPosterior:
    @bi.simulator(prior={"size": tfd.LogNormal(0.0, 0.3)}, units={"weight": "kg"})
    def animal(parameters, seed):
        size = parameters["size"][:, None]
        noise = tf.random.stateless_normal((tf.shape(size)[0], 6), seed)
        length = 10.0 * size + 0.1 * noise[:, :3]
        return {"length": length, "weight": 40.0 * size + 0.5 * noise[:, 3:]}

    networks = {"length": bi.summaries.Identity(), "weight": bi.summaries.Identity()}
    flow = bi.flows.coupling(blocks=1, hidden=(8,))
    return bi.AmortizedPosterior(animal, networks, flow).fit(
        steps=30, batch_size=64, seed=1, progress=False
    )


def test_the_observable_and_the_factor_are_named(posterior) -> None:
    length = np.array([[10.0, 10.1, 9.9], [10.0, 10.1, 9.9], [10.0, -400.0, 9.9]])
    weight = np.array([[40.0, 40.2, 39.9], [40_000.0, 40_200.0, 39_900.0], [40.0, 40.2, 39.9]])
    typical, scaled, odd = bi.explain_unusual(posterior, {"length": length, "weight": weight})
    assert typical == ""
    assert scaled.startswith("'weight' divided by 1,000 would be typical")
    assert scaled.endswith("look at its unit, which is declared as kg")
    assert odd == "no usual factor between units makes it typical"


def test_it_needs_simulations_to_compare_with(posterior) -> None:
    sampled = bi.SampledPosterior(posterior.simulator, lambda data, draws, seed: {})
    data = {"length": np.ones(3), "weight": np.ones(3)}
    with pytest.raises(InputError, match="what its simulations were like"):
        bi.explain_unusual(sampled, data)


def test_infinite_draws_are_refused(posterior) -> None:
    def draw(data, draws, seed):
        return {"size": np.where(np.arange(draws) < 3, np.inf, 1.0)[None]}

    sampled = bi.SampledPosterior(posterior.simulator, draw)
    with pytest.raises(InputError, match=r"(?s)'size'.*3 infinite ones"):
        sampled.sample({"length": np.ones((1, 3)), "weight": np.ones((1, 3))}, draws=10)


def test_verdict_and_report_of_an_observation_name_it(posterior) -> None:
    observed = {"length": np.array([10.0, 10.1, 9.9]), "weight": 1e3 * np.array([40.0, 40.2, 39.9])}
    features = np.zeros((20, 6))
    at = observe(posterior, check_unbatched(posterior, observed), features, 50, 1, 0.99)
    said = "weight' divided by 1,000 would be typical"
    assert said in at.typicality.summary
    prior = posterior.simulator.draw(200, 1).parameters
    section = observed_section(at, prior, posterior.simulator.labels)
    assert f"not to be trusted. '{said}" in section.text
    usual = {"length": observed["length"], "weight": observed["weight"] / 1e3}
    at = observe(posterior, check_unbatched(posterior, usual), features, 50, 1, 0.99)
    assert at.typicality.reason == ""


def test_factors_that_single_precision_can_not_hold_are_left_out() -> None:
    @bi.simulator(prior={"size": tfd.LogNormal(0.0, 0.3)})
    def star(parameters, seed):
        noise = tf.random.stateless_normal(tf.shape(parameters["size"]), seed)
        return {"light": 1e30 * (parameters["size"] + 0.01 * noise)}

    flow = bi.flows.coupling(blocks=1, hidden=(8,))
    posterior = bi.AmortizedPosterior(star, flow=flow)
    posterior.fit(steps=30, batch_size=64, seed=1, progress=False)
    (text,) = bi.explain_unusual(posterior, {"light": np.array([1e33])})
    assert text.startswith("'light' divided by 1,000 would be typical")


def test_of_factors_that_differ_little_the_one_that_fits_best_is_named() -> None:
    @bi.simulator(prior={"size": tfd.Normal(0.0, 0.2)}, units={"wait": "s"})
    def waiting(parameters, seed):
        noise = tf.random.stateless_normal((tf.shape(parameters["size"])[0], 3), seed)
        return {"wait": 2.0 + parameters["size"][:, None] + noise}

    posterior = bi.AmortizedPosterior(waiting, flow=bi.flows.coupling(blocks=1, hidden=(8,)))
    posterior.fit(steps=30, batch_size=64, seed=1, progress=False)
    # 100 is tried first, and leaves data that are possible.
    (text,) = bi.explain_unusual(posterior, {"wait": 60.0 * np.array([2.2, 1.6, 2.5])})
    assert text.startswith("'wait' divided by 60 would be typical")


def test_context_in_the_unit_of_the_data_is_changed_with_them() -> None:
    @bi.simulator(
        prior={"level": tfd.Normal(3.0, 0.5)},
        context={"error": tfd.LogNormal(-1.5, 0.3), "size": tfd.Uniform(0.5, 2.0)},
        units={"flux": "mJy", "error": "mJy", "size": "m"},
    )
    def star(parameters, context, seed):
        noise = tf.random.stateless_normal((tf.shape(parameters["level"])[0], 4), seed)
        return {"flux": parameters["level"][:, None] + context["error"][:, None] * noise}

    posterior = bi.AmortizedPosterior(star, flow=bi.flows.coupling(blocks=1, hidden=(8,)))
    posterior.fit(steps=30, batch_size=64, seed=1, progress=False)
    flux = np.array([3.0, 3.1, 2.8, 3.2])
    both, alone = bi.explain_unusual(
        posterior,
        {
            "flux": [1e3 * flux, flux],
            "error": [1e3 * 0.2, 1e3 * 0.2],
            "size": [1.0, 1.0],
        },
    )
    assert both.startswith("'flux' and 'error' divided by 1,000 would be typical")
    assert alone.startswith("'error' divided by 1,000 would be typical")
    assert alone.endswith("look at its unit, which is declared as mJy")


def test_a_number_of_steps_has_no_other_unit() -> None:
    @bi.simulator(
        prior={"level": tfd.Normal(0.0, 1.0)},
        context={"days": tfd.Poisson(3.0)},
        lengths={"y": "days"},
        units={"days": "d"},
        name="counted days",
    )
    def simulate(parameters, context, seed):
        shape = (tf.shape(parameters["level"])[0], 12)
        return {"y": parameters["level"][:, None] + tf.random.stateless_normal(shape, seed)}

    assert _list_units(simulate) == [["y"]]
