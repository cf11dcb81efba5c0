"""Simulation banks at the command line."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zarr

import bayesinn as bi
from bayesinn.cli import long_commands
from bayesinn.simulation.bank.store import BankStore


def test_simulate_and_train(bayesinn, model: str, tmp_path: Path) -> None:
    bank = tmp_path / "bank"
    answer = bayesinn("simulate", model, "--n", "2e3", "--out", bank, "--seed", 4)
    assert answer.status == 0, answer.err
    assert "Bank of 2,000 simulations of 'growth', seed 4, all finished" in answer.out
    again = bayesinn("simulate", model, "--n", "2500", "--out", bank, "--seed", 4)
    assert "Bank of 2,500 simulations" in again.out
    train = ["train", model, "--bank", bank, "--steps", 10, "--batch-size", 32]
    answer = bayesinn(*train, "--output", tmp_path / "run")
    assert answer.status == 0, answer.err
    posterior = bi.load(tmp_path / "run" / "posterior")
    assert posterior.training["data"] is not None
    assert "val_loss" in posterior.history


def test_a_longer_training_from_a_bank_is_resumed_without_its_steps(
    bayesinn, model: str, tmp_path: Path, monkeypatch
) -> None:
    def interrupted(self, epoch, logs=None):
        raise KeyboardInterrupt

    bank = tmp_path / "bank"
    assert not bayesinn("simulate", model, "--n", "2e3", "--out", bank).status
    train = ["train", model, "--bank", bank, "--batch-size", 32, "--output", tmp_path / "run"]
    assert bayesinn(*train, "--steps", 4).status == 0
    with monkeypatch.context() as patch:
        patch.setattr("bayesinn.training.train.ProgressReport.on_epoch_end", interrupted)
        assert bayesinn(*train, "--steps", 100).status == 130
    resumed = bayesinn(*train, "--resume")
    assert resumed.status == 0, resumed.err
    posterior = bi.load(tmp_path / "run" / "posterior")
    assert (posterior.steps_done, posterior.steps_before) == (100, 4)


def test_train_while_the_bank_is_written(bayesinn, model: str, tmp_path: Path) -> None:
    bank = tmp_path / "bank"
    assert not bayesinn("simulate", model, "--n", "6e3", "--chunk", 500, "--out", bank).status
    # The last chunk is still to come: the first steps don't need it.
    bi.open_bank(bank)._store.forget(11)
    train = [
        "train",
        model,
        "--bank",
        bank,
        "--reuse",
        2,
        "--fresh",
        0.25,
        "--steps",
        4,
        "--batch-size",
        32,
    ]
    answer = bayesinn(*train, "--output", tmp_path / "run")
    assert answer.status == 0, answer.err
    posterior = bi.load(tmp_path / "run" / "posterior")
    assert posterior.training["data"].endswith("reuse 2, fresh 0.25")
    assert posterior.training["settings"]["steps"] == 4


def test_train_waits_for_a_bank_that_is_begun_just_now(
    bayesinn, model: str, tmp_path: Path, monkeypatch
) -> None:
    """There is no place, then one without anything, then a bank without arrays, then one."""
    made = tmp_path / "made"
    bank = tmp_path / "bank"
    assert not bayesinn("simulate", model, "--n", "6e3", "--chunk", 500, "--out", made).status
    stages = iter(
        [
            bank.mkdir,
            lambda: shutil.copy(made / "zarr.json", bank),
            lambda: shutil.copytree(made / "rate", bank / "rate"),
            lambda: shutil.copytree(made, bank, dirs_exist_ok=True),
        ]
    )
    sleep = SimpleNamespace(sleep=lambda seconds: next(stages)())
    monkeypatch.setattr(long_commands, "time", sleep)
    options = ["--steps", 4, "--batch-size", 32, "--output", tmp_path / "run"]
    answer = bayesinn("train", model, "--bank", bank, "--reuse", 2, *options)
    assert answer.status == 0, answer.err
    assert next(stages, None) is None
    assert bi.load(tmp_path / "run" / "posterior").steps_done == 4


def test_train_waits_for_no_bank_that_does_not_come(
    bayesinn, model: str, tmp_path: Path, monkeypatch
) -> None:
    looks = []
    monkeypatch.setattr(long_commands, "time", SimpleNamespace(sleep=looks.append))
    monkeypatch.setattr(long_commands, "_MOST_LOOKS", 20)
    train = ["train", model, "--output", tmp_path / "run", "--bank"]
    answer = bayesinn(*train, tmp_path / "nowhere", "--reuse", 2)
    assert answer.status == 2
    assert "no Zarr group" in answer.err
    assert len(looks) == 20
    assert answer.out.count(f"waiting for the bank {tmp_path / 'nowhere'}") == 1
    # Without --reuse, or if something else is there, at once.
    zarr.create_group(tmp_path / "else", attributes={"format": "something"})
    for place, options in (("nowhere", []), ("else", ["--reuse", 2])):
        answer = bayesinn(*train, tmp_path / place, *options)
        assert answer.status == 2
        assert "a simulation bank" in answer.err
    assert len(looks) == 20


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(
    bayesinn, model: str, tmp_path, monkeypatch
) -> None:
    original = BankStore.write
    made = []

    def interrupted(self, *arguments) -> None:
        made.append(arguments)
        if len(made) == 3:
            raise KeyboardInterrupt
        original(self, *arguments)

    def interrupted_at_once(*arguments, **options):
        raise KeyboardInterrupt

    options = ["simulate", model, "--n", 500, "--chunk", 100, "--out", tmp_path / "a bank"]
    with monkeypatch.context() as patch:
        patch.setattr(BankStore, "write", interrupted)
        answer = bayesinn(*options)
    assert answer.status == 130
    assert f"interrupted; {tmp_path}/a bank keeps 2 of 5 chunks" in answer.err
    assert (
        f"to go on: bayesinn simulate {model} --n 500 --chunk 100 --out '{tmp_path}/a bank'"
        in answer.err
    )
    assert "Traceback" not in answer.err
    assert "all finished" in bayesinn(*options).out
    whole = bi.open_bank(tmp_path / "a bank").read()
    assert np.isfinite(whole["cases"]).all()
    # Before there is a bank.
    options[-1] = tmp_path / "another"
    with monkeypatch.context() as patch:
        patch.setattr("bayesinn.cli.long_commands.simulate_bank", interrupted_at_once)
        answer = bayesinn(*options)
    assert answer.status == 130
    assert f"interrupted; {tmp_path}/another keeps nothing" in answer.err


@pytest.mark.parametrize(
    ("command", "fragments"),
    [
        ("simulate linear --n 1.5 --out bank", ["'1.5' is no whole number", "1e6"]),
        ("simulate linear --n many --out bank", ["'many' is no whole number"]),
        ("simulate linear --n inf --out bank", ["'inf' is no whole number"]),
        ("simulate linear --n 100", ["Missing option '--out'"]),
        ("simulate lineer --n 100 --out bank", ["did you mean 'linear'?"]),
        ("train linear --bank nowhere", ["a simulation bank", "bayesinn simulate"]),
        ("train linear --reuse 4", ["--reuse and --fresh need a bank"]),
        # Before the bank is looked for.
        ("train linear --bank nowhere --minutes 1", ["give --steps"]),
        ("train linear --bank nowhere --passes 2", ["give --steps"]),
    ],
)
def test_mistakes(bayesinn, tmp_path, monkeypatch, command: str, fragments: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    answer = bayesinn(*command.split())
    assert answer.status == 2
    assert "Traceback" not in answer.err
    for fragment in fragments:
        assert fragment in " ".join(answer.err.replace("│", " ").split())
    assert list(tmp_path.iterdir()) == []


def test_advise(bayesinn, model: str, tmp_path: Path) -> None:
    assert not bayesinn("simulate", model, "--n", 600, "--out", tmp_path / "bank").status
    options = ["--bank", tmp_path / "bank", "--flow", "coupling:blocks=1"]
    with pytest.MonkeyPatch.context() as patch:
        # Twelve short trainings in place of long ones.
        fit = bi.AmortizedPosterior.fit
        patch.setattr(
            bi.AmortizedPosterior,
            "fit",
            lambda self, data, **given: fit(self, data, **given | {"steps": 5}),
        )
        answer = bayesinn("advise", model, *options)
    assert not answer.status, answer.err
    assert "wice as many simulations would gain" in answer.out
    # 600 rows: a quarter is held out.
    assert [line.split()[0] for line in answer.out.splitlines()[-4:]] == ["56", "112", "225", "450"]
