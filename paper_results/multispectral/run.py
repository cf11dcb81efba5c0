"""Multispectral tissue: three cameras, other methods, camera design, map, out-of-distribution data.

The posteriors are those of the cameras.

    python paper_results/multispectral/run.py [--quick] [--only STAGE ...]

Stages write CSV files and figures beside this file; networks are trained where there is no saved posterior, and the
bank of simulations is kept in runs/multispectral. ``--quick`` runs the stages on a few simulations into a temporary
folder, to check that they run.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import figures
import networks
import numpy as np
import pandas as pd
import scenarios
from bank import Arrays, bank, measured
from reference import importance
from scipy import stats
from sklearn.metrics import roc_auc_score

import bayesinn as bi
from bayesinn.diagnostics.coverage import coverage
from bayesinn.simulators.tissue import NAMES

HERE = Path(__file__).parent
IDENTIFIABLE, PRIOR_LIKE = (
    ("s_O2", "v_hb1", "a_mie1"),
    tuple(f"{name}{layer}" for name in "gd" for layer in (1, 2, 3)),
)
# Posterior sd / prior sd of the linearised model around the reference tissue, brightness removed, signal to noise 10.
LINEARISED = {
    "s_O2": 0.30,
    "v_hb1": 0.61,
    "a_mie1": 0.79,
    "v_hb2": 0.97,
    "a_mie2": 0.99,
    "v_hb3": 1.0,
    "a_mie3": 0.99,
}
LINEARISED |= dict.fromkeys(PRIOR_LIKE, 1.0)


@dataclass(frozen=True)
class Sizes:
    """How much is simulated, trained and drawn."""

    bank: int = 100_000
    test: int = 10_000
    steps: dict[str, int] = field(
        default_factory=lambda: {"3": 5_000, "8": 5_000, "27": 5_000, "8_split": 3_000}
    )
    cameras: tuple[str, ...] = ("3", "8", "27")
    references: int = 20
    proposals: int = 4_000
    calibration: int = 2_000
    diagnosed: int = 10_000
    draws: int = 250
    side: int = 256
    pixel_draws: int = 500
    block: int = 4_096


QUICK = Sizes(600, 300, {"8": 20, "8_split": 20}, ("8",), 2, 200, 100, 100, 50, 8, 50, 32)


class Study:
    """Simulations and trained networks, made when a stage asks for them."""

    def __init__(self, sizes: Sizes, target: Path, kept: Path) -> None:
        self.sizes, self.target, self.kept = sizes, target, kept
        self.cost: list[dict[str, object]] = []
        self._posteriors: dict[str, bi.AmortizedPosterior] = {}

    @cached_property
    def bank(self) -> tuple[Arrays, np.ndarray]:
        """Parameters and spectra to train on."""
        parameters, found, seconds = bank(self.sizes.bank, 1, self.kept)
        self.cost.append(
            {"what": "simulating the bank", "number": self.sizes.bank, "processor seconds": seconds}
        )
        return parameters, found

    @cached_property
    def test(self) -> tuple[Arrays, np.ndarray]:
        """Parameters and spectra that no network was trained on."""
        return bank(self.sizes.test, 2, self.kept)[:2]

    def data(self, name: str) -> Arrays:
        """Return simulations of a camera to train on."""
        return networks.rows(*self.bank, networks.OPTIONS[name], 10, networks.REPEATS)

    def held_out(self, name: str) -> Arrays:
        """Return simulations of a camera to test on."""
        return networks.rows(*self.test, networks.OPTIONS[name], 20)

    def posterior(self, name: str) -> bi.AmortizedPosterior:
        """Return a trained posterior."""
        if name not in self._posteriors:
            camera = name.partition("_")[0]
            validation = {key: value[-1_000:] for key, value in self.held_out(camera).items()}
            steps = self.sizes.steps[name]
            found, seconds = networks.trained(
                name, self.data(camera), validation, steps, self.target
            )
            self._posteriors[name] = found
            if np.isfinite(seconds):
                self.cost.append(
                    {
                        "what": f"training, camera {name}",
                        "number": steps,
                        "processor seconds": seconds,
                    }
                )
                self.write(pd.DataFrame(self.cost).set_index("what"), f"cost_{name}.csv")
        return self._posteriors[name]

    def write(self, table: pd.DataFrame, name: str) -> None:
        """Write a table, and print it."""
        table.to_csv(self.target / name, float_format="%.4g")
        print(f"\n{name}\n{table.to_string(float_format=lambda value: f'{value:.3g}')}", flush=True)


def posteriors(study: Study) -> None:
    """Train."""
    for name in study.sizes.steps:
        study.posterior(name)


def methods(study: Study) -> None:
    """Compare all methods with reference posteriors of simulated spectra, and their calibration."""
    sizes, options = study.sizes, networks.OPTIONS["8"]
    data, test = study.data("8"), study.held_out("8")
    once = {name: value[: sizes.bank] for name, value in data.items()}
    compared: dict[str, networks.Method] = {
        "conditional flow": networks.of_posterior(study.posterior("8")),
        "split-latent flow": networks.of_posterior(study.posterior("8_split")),
        "ABC": networks.rejection(once),
        "Gaussian network": networks.mean_field(data, sizes.steps["8"]),
        "dropout": networks.dropout_sampling(data, sizes.steps["8"]),
    }
    seen = test["bands"][: sizes.references]
    pairs = [
        importance(study.posterior("8"), bands, options, sizes.proposals, seed)
        for seed, bands in enumerate(seen, 100)
    ]
    exact = {name: np.stack([draws[name] for draws, _ in pairs]) for name in NAMES}
    sized = pd.DataFrame(
        {
            "effective size": [size for _, size in pairs],
            "s_O2 truth": test["s_O2"][: sizes.references],
        }
    )
    study.write(sized.rename_axis("spectrum"), "references.csv")
    table, shown = {}, {"reference": exact}
    for name, draw in compared.items():
        draws = draw(seen, 2_000, 5)
        shown[name] = draws
        distances = {
            parameter: np.mean(
                [
                    stats.ks_2samp(*pair).statistic
                    for pair in zip(draws[parameter], exact[parameter], strict=True)
                ]
            )
            for parameter in NAMES
        }
        many = {key: value[: sizes.calibration] for key, value in test.items()}
        wide = draw(many["bands"], sizes.draws, 6)
        covered = coverage({"s_O2": many["s_O2"]}, {"s_O2": wide["s_O2"]}, seed=6)
        outside = (wide["s_O2"] < 0.0) | (wide["s_O2"] > 1.0)
        table[name] = {
            "KS, identifiable": np.mean([distances[parameter] for parameter in IDENTIFIABLE]),
            "KS, like the prior": np.mean([distances[parameter] for parameter in PRIOR_LIKE]),
            **{f"KS {parameter}": distances[parameter] for parameter in IDENTIFIABLE},
            "correlation v_hb1, a_mie1": _correlation(draws),
            "reference correlation": _correlation(exact),
            "calibration error s_O2": covered.calibration_error[0],
            "95 % interval s_O2 holds": float(
                covered.empirical[np.argmin(abs(covered.nominal - 0.95)), 0]
            ),
            "s_O2 outside [0, 1]": outside.mean(),
            "error of s_O2": np.median(np.abs(np.median(wide["s_O2"], axis=1) - many["s_O2"])),
        }
    study.write(pd.DataFrame(table).T.rename_axis("method"), "methods.csv")
    worst = _most_misled(shown, test["s_O2"][: sizes.references])
    figures.compare_methods(
        shown, worst, {name: test[name][worst] for name in NAMES}, study.target / "methods.png"
    )


def _correlation(draws: Arrays) -> float:
    return float(
        np.mean(
            [np.corrcoef(*pair)[0, 1] for pair in zip(draws["v_hb1"], draws["a_mie1"], strict=True)]
        )
    )


def _most_misled(shown: dict[str, Arrays], truth: np.ndarray) -> int:
    """Return the spectrum on which the Gaussian network is furthest from the reference in s_O2."""
    pairs = zip(shown["Gaussian network"]["s_O2"], shown["reference"]["s_O2"], strict=True)
    return int(np.argmax([stats.ks_2samp(*pair).statistic for pair in pairs]))


def identifiable(study: Study) -> None:
    """Compare posterior and prior sd with the linearised figures.

    The sd are those around the reference tissue, and over the prior.
    """
    posterior, sizes = study.posterior("8"), study.sizes
    values = {
        "s_O2": 0.7,
        "v_hb": 0.05,
        "a_mie": 18.9,
        "g": 0.875,
        "d1": 805.0,
        "d2": 631.0,
        "d3": 499.0,
    }
    central = {
        name: np.full(200, values.get(name, values.get(name[:-1], 0.0)), np.float32)
        for name in NAMES
    }
    near = posterior.sample(
        {"bands": scenarios.simulated(central, "8", 30)}, draws=sizes.draws, seed=7
    )
    many = study.held_out("8")
    wide = posterior.sample(
        {"bands": many["bands"][: sizes.calibration]}, draws=sizes.draws, seed=8
    )
    table = {
        name: {
            "linearised": LINEARISED[name],
            "reference tissue": np.sqrt(np.mean(near[name].var(axis=1))) / many[name].std(),
            "over the prior, median": np.median(wide[name].std(axis=1)) / many[name].std(),
            "KS from the prior, reference tissue": stats.ks_2samp(
                near[name].ravel(), many[name]
            ).statistic,
        }
        for name in NAMES
    }
    study.write(pd.DataFrame(table).T.rename_axis("posterior sd / prior sd"), "identifiability.csv")


def design(study: Study) -> None:
    """Compare cameras, and check that each posterior is calibrated."""
    table, spread = {}, {}
    for name in study.sizes.cameras:
        posterior, sizes = study.posterior(name), study.sizes
        found = bi.diagnose(
            posterior, simulations=sizes.diagnosed, draws=sizes.draws, seed=9, progress=False
        )
        study.write(found.verdict, f"verdict_{name}.csv")
        study.write(found.to_dataframe(), f"calibration_{name}.csv")
        test = {key: value[: sizes.calibration] for key, value in study.held_out(name).items()}
        draws = posterior.sample({"bands": test["bands"]}, draws=sizes.draws, seed=10)
        for parameter in ("s_O2", "v_hb1"):
            low, middle, high = np.quantile(draws[parameter], [0.16, 0.5, 0.84], axis=1)
            table[name, parameter] = {
                "median error": np.median(np.abs(middle - test[parameter])),
                "median width of 68 %": np.median(high - low),
                "calibration error": coverage(
                    {"x": test[parameter]}, {"x": draws[parameter]}, seed=6
                ).calibration_error[0],
                "information [nats]": found.information.mean[
                    list(found.information.columns).index(parameter)
                ],
                "all parameters [nats]": found.information.joint_mean,
            }
            if parameter == "s_O2":
                spread[name] = high - low
    study.write(pd.DataFrame(table).T.rename_axis(["bands", "parameter"]), "design.csv")
    figures.compare_cameras(spread, pd.DataFrame(table).T, study.target / "design.png")


def out_of_distribution(study: Study) -> None:
    """Flag tissues and cameras that the network wasn't trained for, by the answers' p-values."""
    posterior, sizes = study.posterior("8"), study.sizes
    test, found = study.test
    n = sizes.calibration
    usual = posterior.sample(
        {"bands": measured(found[:n], networks.OPTIONS["8"], 40)}, draws=1, seed=11
    ).p_value
    table = {"held-out tissues": {"flagged at 5 %": np.mean(usual < 0.05), "ROC AUC": np.nan}}
    for name, bands in scenarios.unusual(test, found, n).items():
        p_value = posterior.sample({"bands": bands}, draws=1, seed=12).p_value
        auc = roc_auc_score(
            np.repeat([0, 1], [len(usual), len(p_value)]), -np.concatenate([usual, p_value])
        )
        table[name] = {"flagged at 5 %": np.mean(p_value < 0.05), "ROC AUC": auc}
    study.write(pd.DataFrame(table).T.rename_axis("data"), "out_of_distribution.csv")


def oxygenation_map(study: Study) -> None:
    """Infer a synthetic image pixel by pixel, in blocks of rows."""
    posterior, sizes = study.posterior("8"), study.sizes
    parameters = scenarios.image(sizes.side)
    bands = scenarios.simulated(parameters, "8", 50)
    started, results = time.perf_counter(), []
    for start in range(0, len(bands), sizes.block):
        block = {"bands": bands[start : start + sizes.block]}
        draws = posterior.sample(block, draws=sizes.pixel_draws, seed=13 + start)["s_O2"]
        results.append(np.quantile(draws, [0.16, 0.5, 0.84], axis=1))
    seconds = time.perf_counter() - started
    low, middle, high = (
        part.reshape(sizes.side, sizes.side) for part in np.concatenate(results, axis=1)
    )
    truth = parameters["s_O2"].reshape(sizes.side, sizes.side)
    row = {
        "pixels": len(bands),
        "draws": sizes.pixel_draws,
        "seconds": seconds,
        "pixels/s": len(bands) / seconds,
        "peak memory [GiB]": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "median error": np.median(np.abs(middle - truth)),
        "truth within 68 %": np.mean((low < truth) & (truth < high)),
    }
    study.write(pd.DataFrame([row]).set_index("pixels"), "map.csv")
    figures.show_map(truth, middle, high - low, study.target / "map.png")


STAGES: dict[str, Callable[[Study], None]] = {
    "methods": methods,
    "identifiable": identifiable,
    "out_of_distribution": out_of_distribution,
    "design": design,
    "map": oxygenation_map,
    "posteriors": posteriors,
}


def main() -> None:
    """Run stages."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="*", choices=STAGES, default=list(STAGES), metavar="STAGE")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) if given.quick else HERE.parents[1] / "runs" / "multispectral"
        study = Study(
            QUICK if given.quick else Sizes(), Path(folder) if given.quick else HERE, kept
        )
        for name in given.only:
            STAGES[name](study)


if __name__ == "__main__":
    main()
