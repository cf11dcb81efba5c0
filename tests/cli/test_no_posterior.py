"""What saved estimators answer on the command line that are no single amortized posterior."""

from __future__ import annotations

from pathlib import Path

import pytest

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.flows import coupling
from bayesinn.summaries import MLP

OPTIONS = {"steps": 2, "batch_size": 16, "seed": 1, "progress": False}
FLOW = coupling(blocks=1, hidden=(4,))


def posterior() -> bi.AmortizedPosterior:
    return bi.AmortizedPosterior(bi.get_simulator("linear"), MLP(4, hidden=(4,)), FLOW).fit(
        **OPTIONS
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("saved")
    linear = bi.get_simulator("linear")
    (place / "data.csv").write_text("y\n0.4\n")
    one = posterior()
    one.save(place / "one")
    bi.Ensemble([one, posterior()]).save(place / "several")
    bi.AmortizedLikelihood(linear, FLOW).fit(**OPTIONS).save(place / "likelihood")
    bi.LikelihoodRatio(linear).fit(**OPTIONS).save(place / "ratio")
    bi.PointEstimator(linear, hidden=(4,)).fit(**OPTIONS).save(place / "points")
    return place


def test_an_ensemble_is_asked_like_its_members(bayesinn, folder: Path, tmp_path: Path) -> None:
    command = ("infer", folder / "several", "--data", folder / "data.csv", "--draws", "50")
    answer = bayesinn(*command, "--output", tmp_path / "out")
    assert answer.status == 0, answer.err
    assert "x1" in answer.out
    assert (tmp_path / "out" / "posterior.nc").is_file()
    # The same data again, whose answer is the ensemble's own.
    assert bayesinn(*command, "--output", tmp_path / "out").status == 0


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("likelihood", ".posterior(observed)"),
        ("ratio", ".posterior("),
        ("points", ".estimate(data)"),
    ],
)
@pytest.mark.parametrize("command", ["infer", "diagnose", "compare"])
def test_others_say_how_they_are_asked(
    bayesinn, folder: Path, name: str, call: str, command: str
) -> None:
    data = ["--data", folder / "data.csv"] if command == "infer" else []
    runs = [folder / "one"] if command == "compare" else []
    answer = bayesinn(command, *runs, folder / name, *data)
    assert answer.status == 2
    assert "expected: a posterior" in answer.err
    assert call in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("name", ["likelihood", "points"])
def test_diagnoses_say_so_too(folder: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"(?s)a posterior.*bi\.load\(folder\)"):
        bi.diagnose(bi.load(folder / name))
    if name == "points":
        with pytest.raises(InputError, match="no density, no draws"):
            bi.load(folder / name).map({"y": 0.4})
