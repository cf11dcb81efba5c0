"""Hierarchical posteriors: exact means, all persons' answers, saved folders, what is refused."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError, SavedPosteriorError, SimulatorError
from bayesinn.hierarchical import network

tfd = tfp.distributions
Tensors = dict[str, tf.Tensor]

SD = 0.7
TRIALS = 6
COUNTS = tf.range(2, TRIALS + 1)


def declare(sd: float = SD) -> bi.Simulator:
    @bi.simulator(
        prior={"level": lambda mean: tfd.Normal(mean, sd), "mean": tfd.Normal(0.0, 1.0)},
        context={"n": tfd.FiniteDiscrete(COUNTS, logits=tf.zeros(len(COUNTS)))},
        lengths={"y": "n"},
        units={"y": "m"},
        name="person of a group",
    )
    def person(parameters: Tensors, context: Tensors, seed: tf.Tensor) -> Tensors:
        level = parameters["level"][:, None]
        y = level + tf.random.stateless_normal((tf.shape(level)[0], TRIALS), seed)
        # Nobody looks at what is beyond the last trial.
        return {"y": tf.where(tf.range(TRIALS) < context["n"][:, None], y, np.nan)}

    return person


person = declare()


def new(simulator: bi.Simulator = person) -> bi.HierarchicalPosterior:
    return bi.HierarchicalPosterior(
        simulator,
        group={"person": "level"},
        sizes=(2, 6),
        summary=bi.summaries.DeepSet(4, hidden=(16,), dense=(16,)),
        population=bi.summaries.DeepSet(4, hidden=(16,), dense=(16,)),
        flow=bi.flows.coupling(blocks=1, hidden=(16,), transform=bi.bijections.Affine()),
    )


@pytest.fixture(scope="module")
def trained() -> bi.HierarchicalPosterior:
    return new().fit(steps=800, batch_size=64, seed=1, progress=False)


def test_another_prior_is_refused() -> None:
    with pytest.raises(InputError, match="a population and its members"):
        new().with_prior({"mean": tfd.Normal(0.0, 0.5)})


def observed(sizes: tuple[int, ...] = (2, 6, 3, 5)) -> dict[str, list[list[float]]]:
    generator = np.random.default_rng(1)
    return {"y": [(place + generator.normal(size=n)).tolist() for place, n in enumerate(sizes)]}


def test_means_and_sds_are_nearly_exact(trained) -> None:
    drawn = trained.simulator.draw(200, seed=3)
    data = {**drawn.observables, **drawn.context}
    draws = trained.sample(data, draws=500, seed=4)
    there = np.arange(6) < data["person_count"][:, None]
    steps = np.arange(TRIALS) < data["n"][:, :, None]
    seen = np.where(steps, data["y"], 0.0).sum(axis=2) / data["n"]
    precision = there / (SD**2 + 1 / data["n"])
    total = precision.sum(axis=1) + 1
    centre = (precision * seen).sum(axis=1) / total
    share = SD**2 * precision[:, 0]
    exact = {
        "mean": (centre, total**-0.5),
        "level": (
            (1 - share) * centre + share * seen[:, 0],
            np.sqrt(share / data["n"][:, 0] + (1 - share) ** 2 / total),
        ),
    }
    for name, (mean, sd) in exact.items():
        # Three seeds: 0.063 to 0.104, and 0.038 to 0.046.
        assert np.abs((draws[name].mean(axis=1) - mean) / sd).mean() < 0.2, name
        assert np.abs(draws[name].std(axis=1) / sd - 1).mean() < 0.1, name


def test_density_is_that_of_the_draws(trained) -> None:
    data = observed()
    sides = np.linspace(-2.0, 5.0, 120)
    level, mean = (side.ravel() for side in np.meshgrid(sides, sides))
    density = np.exp(trained.log_prob({"level": level, "mean": mean}, data))
    cell = (sides[1] - sides[0]) ** 2
    assert density.sum() * cell == pytest.approx(1.0, abs=0.01)
    draws = trained.sample(data, draws=4_000, seed=1)
    for name, value in (("level", level), ("mean", mean)):
        assert (density * value).sum() * cell == pytest.approx(draws[name].mean(), abs=0.05)


def test_all_persons(trained) -> None:
    data = observed()
    tree = trained.infer(data, draws=300, seed=2, ids=["a", "b", "c", "d"])
    posterior = tree["posterior"]
    assert posterior["level"].dims == ("chain", "draw", "person")
    assert posterior["mean"].dims == ("chain", "draw")
    assert posterior["person"].values.tolist() == ["a", "b", "c", "d"]
    assert tree["posterior_predictive"]["y"].sizes["person"] == 4
    assert tree["observed_data"]["y"].attrs["units"] == "m"
    # Persons are observed around 0, 1, 2, 3.
    assert (np.diff(posterior["level"].mean(["chain", "draw"])) > 0).all()
    draws = trained.sample_all(data, draws=300, seed=2)
    np.testing.assert_array_equal(posterior["level"].values[0], draws["level"].T)
    assert float(tree["sample_stats"]["out_of_distribution_p"]) == draws.p_value > 0.01
    assert trained.sample_all({"y": [[40.0, -40.0], [0.0, 90.0]]}).out_of_distribution
    # Each person's draws belong to those of the population.
    assert np.corrcoef(draws["level"][0], draws["mean"])[0, 1] > 0.2


def test_order_and_padding_do_not_matter(trained) -> None:
    rows = observed()["y"]
    draws = trained.sample_all({"y": rows}, draws=50, seed=2)
    turned = trained.sample_all({"y": rows[::-1]}, draws=50, seed=2)
    np.testing.assert_allclose(turned["mean"], draws["mean"], atol=1e-4)
    assert turned.p_value == pytest.approx(draws.p_value, abs=1e-3)
    sets = trained.check_data({"y": rows}).arrays
    padded = sets["y"].copy()
    padded[:, 4:] = np.nan
    padded[:, 0, 2:] = 7.0
    other = trained.sample({**sets, "y": padded}, draws=50, seed=2)
    one = trained.sample({"y": rows}, draws=50, seed=2)
    np.testing.assert_array_equal(other["level"][0], one["level"])


def test_sets_of_simulations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_PERSONS_AT_ONCE", 500)
    sets = new().simulator
    rows = 200
    parameters = {"level": np.full(rows, 50.0), "mean": np.full(rows, 10.0)}
    context = {"n": np.full((rows, 6), TRIALS), "person_count": np.full(rows, 6)}
    y = sets.simulate(parameters, 1, context)["y"]
    assert y.shape == (rows, 6, TRIALS)
    assert len(np.unique(y)) > 0.99 * y.size
    # The first person has the level that was given; all others, levels around the mean.
    np.testing.assert_allclose(y[:, 0].mean(), 50.0, atol=0.15)
    levels = y[:, 1:].mean(axis=2)
    np.testing.assert_allclose(levels.mean(), 10.0, atol=0.15)
    np.testing.assert_allclose(levels.std(), np.sqrt(SD**2 + 1 / TRIALS), rtol=0.1)


READ = """
import sys
import numpy as np
import bayesinn as bi
from tests.hierarchical.test_hierarchical import observed, person
loaded = bi.load(sys.argv[1], simulator=person)
np.savez(sys.argv[2], **loaded.sample_all(observed(), draws=20, seed=3))
"""


def test_saved_and_loaded(trained, tmp_path: Path, fresh_python) -> None:
    trained.save(tmp_path / "saved")
    fresh_python(READ, tmp_path / "saved", tmp_path / "answers.npz")
    found = trained.sample_all(observed(), draws=20, seed=3)
    for name, value in np.load(tmp_path / "answers.npz").items():
        np.testing.assert_array_equal(value, found[name])
    with pytest.raises(SavedPosteriorError, match="level"):
        bi.load(tmp_path / "saved", simulator=declare(sd=2.0))


def test_what_is_saved_is_the_simulator_of_the_training(tmp_path: Path) -> None:
    sd = tf.Variable(SD)

    @bi.simulator(
        prior={"mean": tfd.Normal(0.0, 1.0), "level": lambda mean: tfd.Normal(mean, SD)},
        name="changing person",
    )
    def changing(parameters: Tensors, seed: tf.Tensor) -> Tensors:
        level = parameters["level"][:, None]
        return {"y": level + sd * tf.random.stateless_normal((tf.shape(level)[0], 3), seed)}

    posterior = new(changing).fit(steps=2, batch_size=8, seed=1, progress=False)
    sd.assign(2.0)
    posterior.save(tmp_path / "saved")
    with pytest.warns(UserWarning, match="simulated again"):
        bi.load(tmp_path / "saved", simulator=changing)
    sd.assign(SD)
    loaded = bi.load(tmp_path / "saved", simulator=changing)
    sd.assign(2.0)
    loaded.save(tmp_path / "again")
    with pytest.warns(UserWarning, match="simulated again"):
        bi.load(tmp_path / "again", simulator=changing)


class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        if epoch == 2:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_resumed(tmp_path: Path) -> None:
    options = {"steps": 6, "epochs": 3, "batch_size": 8, "seed": 1, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        new().fit(**options, optimization=bi.Optimization(callbacks=[Stop()]), checkpoint=tmp_path)
    resumed = new().fit(**options, checkpoint=bi.Checkpoint(tmp_path, resume=True))
    assert resumed.fingerprint == new().fit(**options).fingerprint


def test_missing_values() -> None:
    @bi.simulator(
        prior={"mean": tfd.Normal(0.0, 1.0), "level": lambda mean: tfd.Normal(mean, SD)},
        missing="mask",
    )
    def gappy(parameters: Tensors, seed: tf.Tensor) -> Tensors:
        y = tf.repeat(parameters["level"][:, None], 3, axis=1)
        lost = tf.random.stateless_uniform(tf.shape(y), seed) < 0.4
        return {"y": tf.where(lost, np.nan, y)}

    posterior = new(gappy).fit(steps=2, batch_size=8, seed=1, progress=False)
    result = posterior.infer({"y": [[0.1, None, 0.2], [None, None, 0.3]]}, draws=5)
    assert np.isfinite(result["posterior"]["level"]).all()
    assert int(np.isnan(result["observed_data"]["y"]).sum()) == 3


def test_what_is_refused(trained) -> None:
    y = np.zeros((7, TRIALS))
    with pytest.raises(InputError, match="with 2 to 6 along"):
        trained.infer({"y": y})
    with pytest.raises(InputError, match="one person, without it"):
        trained.infer({"y": y[0]})
    sets = trained.simulator.draw(2, seed=1)
    with pytest.raises(InputError, match="one data set"):
        trained.sample_all({**sets.observables, **sets.context})
    with pytest.raises(InputError, match="4 different numbers or texts"):
        trained.infer({"y": y[:4]}, ids=["a", "b", "b", "c"])
    with pytest.raises(SimulatorError, match="did you mean 'level'"):
        bi.HierarchicalPosterior(person, group={"person": "levels"})
    with pytest.raises(InputError, match="depends on no person"):
        bi.HierarchicalPosterior(person, group={"person": "mean"})
    with pytest.raises(InputError, match="those of the population"):
        bi.HierarchicalPosterior(person, group={"person": ("level", "mean")})
    with pytest.raises(InputError, match="one level"):
        bi.HierarchicalPosterior(person, group={"person": "level", "trial": "mean"})
    with pytest.raises(InputError, match="axis of persons"):
        bi.HierarchicalPosterior(person, group={"draw": "level"})
    with pytest.raises(InputError, match="axis of persons"):
        bi.HierarchicalPosterior(person, group={"y_dim_0": "level"})
    with pytest.raises(InputError, match="names of parameters"):
        bi.HierarchicalPosterior(person, group={"person": 3})
    with pytest.raises(InputError, match="sizes"):
        bi.HierarchicalPosterior(person, group={"person": "level"}, sizes=(5, 3))
    arrays = {"y": np.random.default_rng(1).normal(size=200)}
    with pytest.raises(InputError, match="TensorFlow operations"):
        bi.HierarchicalPosterior(
            bi.from_arrays({"a": tfd.Normal(0.0, 1.0), "b": tfd.Normal(0.0, 1.0)}, arrays),
            group={"person": "a"},
        )


def test_the_number_of_persons_needs_a_name_of_its_own() -> None:
    @bi.simulator(
        prior={"mean": tfd.Normal(0.0, 1.0), "level": lambda mean: tfd.Normal(mean, 1.0)},
        context={"person_count": tfd.Uniform(1.0, 2.0)},
    )
    def counted(parameters, context, seed):
        return {"y": parameters["level"] * context["person_count"]}

    with pytest.raises(InputError, match="and NAME_count must be other"):
        bi.HierarchicalPosterior(counted, group={"person": "level"})
    assert bi.HierarchicalPosterior(counted, group={"child": "level"}).levels.count == "child_count"


def test_any_person_may_be_unusual(trained) -> None:
    usual = observed()["y"]
    generator = np.random.default_rng(2)
    # Six values that scatter little around a level that is seven sds from the population's mean.
    odd = (8.0 + 0.1 * generator.normal(size=6)).tolist()
    assert not trained.sample_all({"y": usual}, draws=2).out_of_distribution
    for place in range(4):
        rows = [*usual[:place], odd, *usual[place + 1 :]]
        assert trained.sample_all({"y": rows}, draws=2).out_of_distribution


def test_a_padded_set_counts_its_persons(trained) -> None:
    rows = np.random.default_rng(1).normal(size=(2, TRIALS)).astype(np.float32)
    padded = np.concatenate([rows, np.zeros((2, TRIALS), np.float32)])
    counts = {"n": [TRIALS] * 4, "person_count": 2}
    alone = trained.sample_all({"y": rows, "n": [TRIALS] * 2}, draws=40, seed=1)
    filled = trained.sample_all({"y": padded, **counts}, draws=40, seed=1)
    np.testing.assert_allclose(filled["mean"], alone["mean"], rtol=1e-5)
    assert filled["level"].shape == (2, 40)
    with pytest.raises(InputError, match="whose lengths are"):
        trained.sample_all({"y": padded, **counts, "person_count": 7}, draws=40, seed=1)


def test_context_of_persons_may_be_a_vector() -> None:
    @bi.simulator(
        prior={"mean": tfd.Normal(0.0, 1.0), "level": lambda mean: tfd.Normal(mean, 0.5)},
        context={"dose": tfd.Uniform([0.0, 10.0], [1.0, 11.0])},
    )
    def person(parameters: Tensors, context: Tensors, seed: tf.Tensor) -> Tensors:
        return {"y": parameters["level"][:, None] * 0.0 + context["dose"]}

    posterior = bi.HierarchicalPosterior(person, group={"person": "level"}, sizes=(2, 3))
    doses = posterior.simulator.sample(50, seed=1)["dose"]
    assert doses.shape == (50, 3, 2)
    assert np.all((doses[..., 0] < 1.0) & (doses[..., 1] > 10.0))


def test_persons_of_one_set_are_data_everywhere(trained) -> None:
    data = observed()
    diagnosis = bi.diagnose(
        trained, simulations=40, draws=20, seed=1, observed=data, progress=False
    )
    assert diagnosis["observation"] is not None
    assert bi.explain_unusual(trained, data) == [""]
    both = bi.Ensemble([trained, trained])
    # Those of the population, and of the first person, who stands for any.
    assert {name: value.shape for name, value in both.sample(data, draws=20, seed=1).items()} == {
        "level": (20,),
        "mean": (20,),
    }
    with pytest.raises(InputError, match=r"(?s)hierarchical ones.*sample_all"):
        both.infer(data, draws=20)


def test_summaries_are_set_by_persons_that_are_there() -> None:
    """Images of zeros stand where there is no person: nearly half of all places."""

    @bi.simulator(
        prior={"spread": lambda mean: tfd.LogNormal(mean, 0.2), "mean": tfd.Normal(0.0, 0.3)}
    )
    def picture(parameters: Tensors, seed: tf.Tensor) -> Tensors:
        spread = parameters["spread"][:, None, None]
        return {"y": spread * tf.random.stateless_normal((tf.shape(spread)[0], 8, 8), seed)}

    posterior = bi.HierarchicalPosterior(
        picture,
        {"person": "spread"},
        sizes=(2, 12),
        summary=bi.summaries.PowerSpectrum(4),
        flow=bi.flows.coupling(blocks=1, hidden=(8,)),
    )
    posterior.fit(steps=1, batch_size=32, seed=1, progress=False)
    summary = posterior.model.network.summaries["y"]
    # Log powers of pictures with sd near 1; those of zeros are near -180.
    assert np.abs(summary.centre.numpy()).max() < 10.0
    assert summary.scale.numpy().max() < 10.0
