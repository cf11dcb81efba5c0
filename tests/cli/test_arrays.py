"""Files of arrays without a simulator, on the command line: trained, reported, answered."""

from types import SimpleNamespace

import numpy as np
import pytest

import bayesinn as bi
from bayesinn.cli.tables import hold_out

PRIORS = ("--prior", "mean=Normal(0, 1)", "--prior", "sd=LogNormal(-0.5, 0.3)")


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    mean = generator.normal(size=600)
    sd = np.exp(generator.normal(-0.5, 0.3, size=600))
    return {
        "mean": mean,
        "sd": sd,
        "y": mean[:, None] + sd[:, None] * generator.normal(size=(600, 3)),
    }


def test_train_report_and_infer(bayesinn, arrays, tmp_path, monkeypatch) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)
    (tmp_path / "one.csv").write_text("y\n0.1\n0.2\n0.3\n")
    run = tmp_path / "run"
    options = ["--steps", 5, "--flow", "coupling:blocks=1", "--output", run, "--networks", 2]
    answer = bayesinn("train", "--bank", tmp_path / "mine.npz", *PRIORS, *options)
    assert not answer.status, answer.err
    assert "mine: 2 unconstrained parameters" in answer.out
    assert "2 networks" in answer.out
    assert "of 600 rows are held out for the diagnosis. A verdict takes about 2,500" in answer.out
    assert "give 12,500 rows in all" in answer.out
    assert bi.load(run / "posterior").networks == 2
    with np.load(run / "held_out.npz") as held_out:
        apart = len(held_out["mean"])
        # A fifth of 600; five standard deviations are 49.
        assert 71 < apart < 169
        assert {name: value.shape for name, value in held_out.items()} == {
            "mean": (apart,),
            "sd": (apart,),
            "y": (apart, 3),
        }
        assert set(held_out["mean"]) < set(arrays["mean"])
    answer = bayesinn("diagnose", run, "--draws", 20)
    assert f"({apart} simulations, 20 draws, seed 3)" in answer.out
    assert "not run, there is no function to simulate with" not in answer.out
    remedies = []

    def diagnosed(*arguments, **options) -> SimpleNamespace:
        remedies.append(options["again"])
        return SimpleNamespace(grade="within")

    with monkeypatch.context() as patch:
        patch.setattr("bayesinn.cli.run.Run.diagnose", diagnosed)
        patch.setattr("bayesinn.cli.answers.print_diagnosis", lambda result: None)
        bayesinn("diagnose", run)
    # The folder's own rows are found there.
    told = f"bayesinn diagnose {run} --seed 3"
    assert remedies[0]("draws", 800) == f"{told} --draws 800"
    assert remedies[0]("simulations", 500) == f"{told} --held-out FILE.npz, with 500 rows"
    answer = bayesinn("infer", run, "--data", tmp_path / "one.csv")
    assert not answer.status, answer.err
    # Trained longer with another seed, it has not seen them either.
    with np.load(run / "held_out.npz") as held_out:
        first = held_out["mean"]
    again = bayesinn("train", "--bank", tmp_path / "mine.npz", *PRIORS, *options, "--seed", 2)
    assert not again.status, again.err
    with np.load(run / "held_out.npz") as held_out:
        np.testing.assert_array_equal(held_out["mean"], first)


def test_a_pair_of_arrays(bayesinn, arrays, tmp_path) -> None:
    np.save(tmp_path / "theta.npy", np.stack([arrays["mean"], arrays["sd"]], axis=1))
    np.save(tmp_path / "y.npy", arrays["y"])
    pair = f"{tmp_path / 'theta.npy'},{tmp_path / 'y.npy'}"
    options = ["--steps", 2, "--flow", "coupling:blocks=1", "--output", tmp_path / "run"]
    answer = bayesinn("train", "pair", "--bank", pair, *PRIORS, *options)
    assert not answer.status, answer.err
    assert "pair: 2 unconstrained parameters" in answer.out
    wrong = bayesinn("train", "pair", "--bank", pair, *PRIORS[:2], *options)
    assert wrong.status == 2
    assert "a column for each of the parameters ['mean']" in wrong.err


@pytest.mark.parametrize("folder", ["runs", "a=1,b=2"])
def test_paths_may_have_commas(bayesinn, arrays, tmp_path, folder: str) -> None:
    place = tmp_path / folder / "tau=1,phi=2.npz"
    place.parent.mkdir()
    np.savez(place, **arrays)
    options = ["--steps", 2, "--flow", "coupling:blocks=1", "--output", tmp_path / "run"]
    answer = bayesinn("train", "--bank", place, *PRIORS, *options)
    assert not answer.status, answer.err
    assert "tau=1,phi=2: 2 unconstrained parameters" in answer.out


@pytest.mark.parametrize(
    ("command", "fragments"),
    [
        ("train", ["Missing argument 'NAME'"]),
        ("train --bank bank", ["Missing argument 'NAME'", "--prior"]),
        ("train --bank nowhere.npz --prior x=Normal(0,1)", ["no file 'nowhere.npz'"]),
        ("train x --prior x=Normal(0,1)", ["--prior needs arrays", "--bank FILE.npz"]),
    ],
)
def test_mistakes(bayesinn, tmp_path, monkeypatch, command: str, fragments: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    answer = bayesinn(*command.split())
    assert answer.status == 2
    assert "Traceback" not in answer.err
    for fragment in fragments:
        assert fragment in " ".join(answer.err.replace("│", " ").split())


def test_wrong_priors(bayesinn, arrays, tmp_path) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)
    for prior, message in (
        ("mean", "NAME=DISTRIBUTION(NUMBERS)"),
        ("mean=Norml(0, 1)", "did you mean 'Normal'"),
        ("meen=Normal(0, 1)", "without ['meen']"),
    ):
        answer = bayesinn("train", "--bank", tmp_path / "mine.npz", "--prior", prior)
        assert answer.status == 2
        assert message in answer.err


def test_more_rows_hold_out_none_that_were_trained_on(arrays) -> None:
    few = {name: value[:400] for name, value in arrays.items()}
    trained, _ = hold_out(few)
    # In another order, too.
    more = {name: value[::-1] for name, value in arrays.items()}
    _, apart = hold_out(more)
    assert 0 < len(apart["mean"]) < 200
    assert not set(apart["mean"]) & set(trained["mean"])
    for rows in (2, 3):
        kept, apart = hold_out({name: value[:rows] for name, value in arrays.items()})
        assert len(kept["mean"]) > 0
        assert len(apart["mean"]) > 0


def test_arrays_alone_are_not_explored(bayesinn, arrays, tmp_path) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)
    run = tmp_path / "run"
    options = ["--steps", 2, "--flow", "coupling:blocks=1", "--output", run]
    bayesinn("train", "--bank", tmp_path / "mine.npz", *PRIORS, *options)
    answer = bayesinn("explore", run)
    assert answer.status == 2
    assert "one of arrays alone" in answer.err
