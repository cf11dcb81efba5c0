"""Truncated rounds: what they are fitted to, that they continue when stopped, what is refused."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import BankError, InputError, SavedPosteriorError
from bayesinn.simulators import two_moons
from tests.helpers.fitting import equal
from tests.helpers.models import small_flow

tfd = tfp.distributions
# Weights are averaged over few steps, as there are few in all.
OPTIMIZATION = bi.Optimization(average=0.9, learning_rate=1e-2)
OPTIONS = {
    "simulations": 200,
    "steps": 300,
    "optimization": OPTIMIZATION,
    "seed": 3,
    "progress": False,
}
OBSERVATION = {"x": np.array([0.8, 1.1], np.float32), "scale": 2.0}


@bi.simulator(
    prior={"mean": tfd.Normal(0.0, 3.0)},
    context={"scale": tfd.Uniform(1.0, 5.0)},
    on_nonfinite="redraw",
)
def readings(parameters, context, seed):
    """Two readings of a mean; the largest means fail."""
    noise = tf.random.stateless_normal((tf.shape(parameters["mean"])[0], 2), seed)
    mean = tf.where(parameters["mean"] > 3.0, np.nan, parameters["mean"])
    return {"x": mean[:, None] + 0.1 * context["scale"][:, None] * noise}


def template():
    return bi.AmortizedPosterior(readings, flow=small_flow(blocks=1, hidden=(16,)))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rounds") / "of_readings"
    own = template()
    result = bi.truncated_rounds(own, OBSERVATION, rounds=2, folder=folder, **OPTIONS)
    assert not own.trained
    return result, folder


def test_the_result_of_rounds_is_no_posterior(finished):
    with pytest.raises(InputError, match=r"do this: *pass result\.posterior$"):
        bi.refine(finished[0], OBSERVATION)


def test_what_becomes_of_arrays_later_was_not_observed():
    observed = {name: np.array(value) for name, value in OBSERVATION.items()}
    result = bi.truncated_rounds(template(), observed, rounds=1, **{**OPTIONS, "steps": 2})
    before = result.sample(draws=5, seed=1)["mean"]
    for value in observed.values():
        value[...] = 2.0
    np.testing.assert_array_equal(result.sample(draws=5, seed=1)["mean"], before)


def test_later_rounds_are_closer_to_the_observation(finished):
    result, _ = finished
    table = result.rounds
    assert table.index.tolist() == [1, 2]
    assert table["simulations"].tolist() == [200, 200]
    assert table["share"][1] == 1.0
    # Measured 0.69: a network of few weights has wide tails after 300 steps.
    assert table["share"][2] < 0.9
    # Of a normal prior with sd 3, 16 % fails; near the observation, next to nothing.
    assert 20 < table["failed"][1] < 60
    assert table["failed"][2] < table["failed"][1] / 2
    # All of this round and those of the first that lie where it was drawn.
    assert table["used"][1] == 200
    assert 200 < table["used"][2] < 390


def test_simulations_are_prior_draws_in_the_region_at_the_context_of_the_observation(finished):
    result, folder = finished
    bank = bi.open_bank(folder / "round_2" / "simulations")
    arrays = bank.read()
    assert result.truncation.contains({"mean": arrays["mean"]}).all()
    assert set(arrays["scale"]) == {2.0}
    assert bank.failed == result.rounds["failed"][2]
    assert bank.proposal["share"] == result.rounds["share"][2]
    assert bank.proposal["thresholds"] == [result.truncation.parts[0].threshold]
    assert bank.proposal["observation"]["scale"] == 2.0
    assert bank.dataset["x"].shape == (200, 2)


def test_banks_of_proposals_are_not_taken_for_those_of_the_prior(finished):
    _, folder = finished
    place = folder / "round_2" / "simulations"
    assert "from a proposal in place of the prior" in repr(bi.open_bank(place))
    with pytest.raises(BankError, match="simulations from the prior"):
        bi.simulate_bank(readings, 400, place, seed=1, progress=False)
    with pytest.raises(BankError, match="simulations from the prior"):
        template().fit(bi.open_bank(place), steps=5, progress=False)
    with pytest.raises(BankError, match="simulations from the prior"):
        bi.advise(template(), bi.open_bank(place), progress=False)


def test_answers_are_for_the_observation_alone(finished):
    result, _ = finished
    assert result.sample(draws=50, seed=1)["mean"].shape == (50,)
    assert float(result.infer(draws=50, seed=1)["observed_data"]["x"][0]) == pytest.approx(0.8)
    assert repr(result).startswith("Posterior of one observation of 'readings', not amortized")
    assert "2 rounds, 400 simulations" in repr(result)


def test_finished_rounds_are_read_and_more_are_added(finished, tmp_path, monkeypatch):
    result, folder = finished
    folder = shutil.copytree(folder, tmp_path / "copy")
    longer = bi.truncated_rounds(template(), OBSERVATION, rounds=3, folder=folder, **OPTIONS)
    assert longer.rounds.iloc[:2].equals(result.rounds)

    def refuse(*arguments, **options):
        pytest.fail("everything is there")

    monkeypatch.setattr(bi.AmortizedPosterior, "fit", refuse)
    monkeypatch.setattr(type(readings), "simulate", refuse)
    options = {**OPTIONS, "steps": np.int64(OPTIONS["steps"])}
    again = bi.truncated_rounds(template(), OBSERVATION, rounds=3, folder=folder, **options)
    assert equal(again.posterior, longer.posterior)
    np.testing.assert_array_equal(again.sample(seed=4)["mean"], longer.sample(seed=4)["mean"])


def test_interrupted_rounds_go_on_as_though_nothing_had_happened(finished, tmp_path, monkeypatch):
    result, _ = finished
    fit = bi.AmortizedPosterior.fit
    calls = []

    def interrupted(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fit(self, *arguments, **options)

    monkeypatch.setattr(bi.AmortizedPosterior, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bi.truncated_rounds(template(), OBSERVATION, rounds=2, folder=tmp_path, **OPTIONS)
    assert not bi.open_bank(tmp_path / "round_2" / "simulations").missing
    resumed = bi.truncated_rounds(template(), OBSERVATION, rounds=2, folder=tmp_path, **OPTIONS)
    assert len(calls) == 3
    assert equal(resumed.posterior, result.posterior)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"seed": 2}, "seed 3"),
        ({"simulations": 300}, "simulations 200"),
        ({"mass": 1e-3}, "mass 0.0001"),
        ({"observation": {**OBSERVATION, "scale": 3.0}}, "observation"),
        ({"posterior": bi.AmortizedPosterior(readings, flow=small_flow())}, "network"),
        (
            {
                "posterior": bi.AmortizedPosterior(bi.get_simulator("linear")),
                "observation": {"y": 1.5},
            },
            "simulator 'readings'",
        ),
    ],
)
def test_rounds_of_something_else_are_refused(finished, changed, named):
    _, folder = finished
    given = {
        "posterior": template(),
        "observation": OBSERVATION,
        "folder": folder,
        **OPTIONS,
        **changed,
    }
    with pytest.raises(InputError, match=f"expected: {named}") as error:
        bi.truncated_rounds(given.pop("posterior"), given.pop("observation"), **given)
    assert "or another folder" in str(error.value)


def foreign_round(folder, simulator):
    (folder / "round_1" / "posterior").mkdir(parents=True)
    (folder / "round_1" / "posterior" / "2019.csv").write_text("mine")


def foreign_settings(folder, simulator):
    (folder / "rounds.json").write_text('{"best of": 3}')


def link_as_settings(folder, simulator):
    (folder / "rounds.json").symlink_to(folder / "nowhere")


@pytest.mark.parametrize("make", [foreign_round, foreign_settings, link_as_settings])
def test_folders_of_something_else_are_refused_before_anything_is_written(make, tmp_path):
    make(tmp_path, readings)
    before = {file: file.is_file() and file.read_bytes() for file in tmp_path.rglob("*")}
    with pytest.raises((InputError, SavedPosteriorError), match="another folder"):
        bi.truncated_rounds(template(), OBSERVATION, rounds=2, folder=tmp_path, **OPTIONS)
    assert {file: file.is_file() and file.read_bytes() for file in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("what", ["files", "a bank", "an unfinished bank"])
def test_simulations_of_something_else_are_refused_and_stay(finished, tmp_path, what):
    """In a round that is to come: files, or a bank that no round has written."""
    _, folder = finished
    copy = shutil.copytree(folder, tmp_path / "copy")
    place = copy / "round_2" / "simulations"
    shutil.rmtree(place.parent)
    if what == "files":
        place.mkdir(parents=True)
        (place / "2019.csv").write_text("mine")
    else:
        drawn = bi.open_bank(copy / "round_1" / "simulations")
        bank = bi.simulate_bank(
            readings, drawn.n, place, seed=drawn.seed, chunk=drawn.n, progress=False
        )
        if what != "a bank":
            bank._store.forget(0)
    before = {file: file.read_bytes() for file in place.rglob("*") if file.is_file()}
    with pytest.raises(
        BankError, match=r"(?s)something else.*another place|from a proposal.*another folder"
    ):
        bi.truncated_rounds(template(), OBSERVATION, rounds=2, folder=copy, **OPTIONS)
    assert {file: file.read_bytes() for file in place.rglob("*") if file.is_file()} == before


def test_damage_is_told(finished, tmp_path):
    _, folder = finished
    copy = shutil.copytree(folder, tmp_path / "copy")
    (chunk,) = (copy / "round_1" / "simulations" / "mean" / "c").iterdir()
    chunk.write_bytes(chunk.read_bytes()[:-50])
    with pytest.raises(BankError, match="round_1"):
        bi.truncated_rounds(template(), OBSERVATION, rounds=2, folder=copy, **OPTIONS)
    (copy / "rounds.json").write_text(json.dumps([1]))
    with pytest.raises(SavedPosteriorError, match="Folder"):
        bi.truncated_rounds(template(), OBSERVATION, rounds=2, folder=copy, **OPTIONS)


def test_a_bank_that_is_not_finished_is_written_again(finished, tmp_path):
    result, folder = finished
    copy = shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(copy / "round_2" / "posterior")
    shutil.rmtree(copy / "round_2" / "simulations" / "chunk" / "checksum" / "c")
    again = bi.truncated_rounds(template(), OBSERVATION, rounds=2, folder=copy, **OPTIONS)
    assert equal(again.posterior, result.posterior)


def test_what_cannot_be_truncated_is_refused():
    with pytest.raises(InputError, match="without batch axis"):
        bi.truncated_rounds(
            template(), {"x": np.zeros((3, 2)), "scale": np.full(3, 2.0)}, **OPTIONS
        )
    counts = bi.simulator(prior={"k": tfd.Poisson([3.0] * 4)})(
        lambda parameters, seed: {"x": 1.0 * parameters["k"]}
    )
    with pytest.raises(InputError, match="at most three integers"):
        bi.truncated_rounds(
            bi.AmortizedPosterior(counts, flow=small_flow()), {"x": np.ones(4)}, **OPTIONS
        )


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"steps": 0}, "'steps'"),
        ({"steps": 10.5}, "'steps'"),
        ({"optimization": bi.Optimization(passes=2)}, "'passes'"),
    ],
)
def test_mistakes_are_told_before_anything_is_simulated(wrong, named, tmp_path):
    with pytest.raises(InputError, match=named):
        bi.truncated_rounds(
            template(), OBSERVATION, folder=tmp_path / "new", **{**OPTIONS, **wrong}
        )
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_two_moons():
    """The truncation keeps the exact posterior, from a small part of the prior."""
    data = {"x": np.array([-0.6396706, 0.16234657], np.float32)}
    posterior = bi.AmortizedPosterior(
        two_moons.two_moons, flow=bi.flows.coupling(blocks=4, hidden=(64, 64))
    )
    result = bi.truncated_rounds(
        posterior, data, rounds=2, simulations=1_000, seed=1, steps=800, progress=False
    )
    exact = two_moons.exact(data, 2_000, seed=1)
    assert result.rounds["share"][2] < 0.25
    assert result.truncation.contains(exact).mean() > 0.99
    both = [
        np.stack([draws[name] for name in ("theta1", "theta2")], axis=1)
        for draws in (result.sample(draws=2_000), exact)
    ]
    assert bi.diagnostics.c2st(*both) < 0.8
