"""Multispectral tissue: three cameras, other methods, camera design, map, out-of-distribution data.

The posteriors are those of the cameras.

    python paper_results/multispectral/run.py [--quick] [--only STAGE ...]

Stages write CSV files and figures beside this file; networks are trained where there is no saved
posterior, and the bank of simulations is kept in runs/multispectral. ``--quick`` runs the stages on
a few simulations into a temporary folder, to check that they run.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import comparison
import figures
import networks
import numpy as np
import pandas as pd
import scenarios
from bank import Arrays, bank, measured
from reference import Reference, from_mixture, from_prior
from scipy import stats
from sklearn.metrics import roc_auc_score

import bayesinn as bi
from bayesinn.diagnostics.coverage import coverage
from bayesinn.simulators.tissue import NAMES

HERE = Path(__file__).parent
IDENTIFIABLE = ("s_O2", "v_hb1", "a_mie1")
PRIOR_LIKE = tuple(f"{name}{layer}" for name in "gd" for layer in (1, 2, 3))
# Posterior sd / prior sd of the linearised model around the reference tissue, brightness removed,
# signal to noise 10.
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
_OF_SPECTRUM = ("effective size", "mixture", "reference mean", "reference sd", "mean", "sd")


@dataclass(frozen=True)
class Sizes:
    """How much is simulated, trained and drawn."""

    bank: int = 400_000
    trainings: dict[str, networks.Training] = field(default_factory=lambda: networks.TRAININGS)
    test: int = 10_000
    cameras: tuple[str, ...] = ("3", "8", "27")
    prior: int = 1_000_000
    references: int = 300
    reference_draws: int = 4_000
    fewest: int = 200
    mixtures: int = 20
    proposals: int = 4_000
    #: Draws of each method for each spectrum.
    method_draws: int = 2_000
    calibration: int = 2_000
    diagnosed: int = 10_000
    draws: int = 250
    side: int = 256
    pixel_draws: int = 500
    block: int = 4_096


QUICK = Sizes(
    bank=600,
    test=300,
    trainings=dict.fromkeys(("8", "8_split"), networks.Training(20, blocks=1)),
    cameras=("8",),
    prior=2_000,
    references=3,
    reference_draws=200,
    fewest=20,
    mixtures=2,
    proposals=200,
    method_draws=40,
    calibration=100,
    diagnosed=40,
    draws=40,
    side=8,
    pixel_draws=50,
    block=32,
)


class Study:
    """Simulations and trained networks, made when a stage asks for them."""

    def __init__(self, sizes: Sizes, target: Path, kept: Path) -> None:
        self.sizes = sizes
        self.target = target
        self.kept = kept
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

    @cached_property
    def prior(self) -> tuple[Arrays, np.ndarray]:
        """Tissues of the prior and their spectra, to weigh by the likelihood of an observation."""
        return bank(self.sizes.prior, 3, self.kept)[:2]

    def references(self, name: str) -> Iterator[Reference]:
        """Yield the reference posteriors of the first held-out spectra of a camera."""
        observations = self.held_out(name)["bands"][: self.sizes.references]
        return from_prior(*self.prior, observations, networks.OPTIONS[name])

    def data(self, name: str) -> Arrays:
        """Return the simulations that a network is trained on."""
        training = self.sizes.trainings[name]
        parameters, found = self.bank
        used = {key: value[: training.tissues] for key, value in parameters.items()}
        options = networks.OPTIONS[name.partition("_")[0]]
        return networks.rows(used, found[: training.tissues], options, 10, training.repeats)

    def held_out(self, name: str) -> Arrays:
        """Return simulations of a camera to test on."""
        return networks.rows(*self.test, networks.OPTIONS[name.partition("_")[0]], 20)

    def posterior(self, name: str) -> bi.AmortizedPosterior:
        """Return a trained posterior."""
        if name not in self._posteriors:
            # The half that no other stage looks at.
            validation = {
                key: value[self.sizes.test // 2 :] for key, value in self.held_out(name).items()
            }
            training = self.sizes.trainings[name]
            found, seconds = networks.trained(
                name, self.data(name), validation, training, self.target
            )
            self._posteriors[name] = found
            if np.isfinite(seconds):
                self.cost.append(
                    {
                        "what": f"training, camera {name}",
                        "number": training.steps,
                        "processor seconds": seconds,
                    }
                )
                self.write(pd.DataFrame(self.cost).set_index("what"), f"cost_{name}.csv")
        return self._posteriors[name]

    def write(self, table: pd.DataFrame, name: str, *, shown: bool = True) -> None:
        """Write a table, and print it."""
        table.to_csv(self.target / name, float_format="%.4g")
        if shown:
            print(
                f"\n{name}\n{table.to_string(float_format=lambda value: f'{value:.3g}')}",
                flush=True,
            )


def posteriors(study: Study) -> None:
    """Train."""
    for name in study.sizes.trainings:
        study.posterior(name)


def against_references(study: Study) -> None:
    """Compare each camera's posteriors with importance sampling from the prior, which knows the noise law.

    Where too few tissues of the prior have weight, the reference is that from the mixture.
    """
    sizes = study.sizes
    spectra = []
    table = {}
    for name in sizes.cameras:
        posterior = study.posterior(name)
        test = study.held_out(name)
        seen = test["bands"][: sizes.references]
        draws = posterior.sample({"bands": seen}, draws=sizes.reference_draws, seed=14)
        rows: dict[str, list[dict[str, float]]] = {parameter: [] for parameter in IDENTIFIABLE}
        mixed: dict[str, list[dict[str, float]]] = {parameter: [] for parameter in IDENTIFIABLE}
        for spectrum, from_the_prior in enumerate(study.references(name)):
            exact = from_the_prior
            few = from_the_prior.effective_size < sizes.fewest
            if few or spectrum < sizes.mixtures:
                options = networks.OPTIONS[name]
                seed = 100 + spectrum
                other = from_mixture(posterior, seen[spectrum], options, sizes.proposals, seed)
                exact = other if few else exact
            for parameter in IDENTIFIABLE:
                found = comparison.beside(exact, parameter, draws[parameter][spectrum])
                rows[parameter].append(found | {"mixture": few})
                if spectrum < sizes.mixtures and not few:
                    mixed[parameter].append(comparison.apart(exact, other, parameter))
            shown = rows["s_O2"][-1]
            spectra.append(
                {"bands": name, "spectrum": spectrum, "truth": test["s_O2"][spectrum]}
                | {
                    key: shown[key]
                    for key in (
                        "effective size",
                        "mixture",
                        "reference mean",
                        "reference sd",
                        "mean",
                        "sd",
                    )
                }
            )
        for parameter in IDENTIFIABLE:
            table[name, parameter] = comparison.summary(
                pd.DataFrame(rows[parameter]), pd.DataFrame(mixed[parameter])
            )
    study.write(
        pd.DataFrame(spectra).set_index(["bands", "spectrum"]), "references.csv", shown=False
    )
    study.write(pd.DataFrame(table).T.rename_axis(["bands", "parameter"]), "against_references.csv")


def methods(study: Study) -> None:
    """Compare all methods with reference posteriors of simulated spectra, and their calibration."""
    sizes = study.sizes
    data = study.data("8")
    test = study.held_out("8")
    once = {name: value[: sizes.trainings["8"].tissues] for name, value in data.items()}
    compared: dict[str, networks.Method] = {
        "conditional flow": networks.of_posterior(study.posterior("8")),
        "split-latent flow": networks.of_posterior(study.posterior("8_split")),
        "ABC": networks.rejection(once),
        "Gaussian network": networks.mean_field(data, sizes.trainings["8"].steps),
        "dropout": networks.dropout_sampling(data, sizes.trainings["8"].steps),
    }
    seen = test["bands"][: sizes.references]
    draws = {name: draw(seen, sizes.method_draws, 5) for name, draw in compared.items()}
    distances = []
    correlations = []
    by_chance = []
    for spectrum, exact in enumerate(study.references("8")):
        for parameter in (*IDENTIFIABLE, *PRIOR_LIKE):
            samples = np.stack([draws[name][parameter][spectrum] for name in compared])
            found = exact.distances(parameter, samples)
            distances += [
                (name, parameter, spectrum, one) for name, one in zip(compared, found, strict=True)
            ]
        correlations.append(exact.correlation("v_hb1", "a_mie1"))
        by_chance.append(exact.distance_by_chance(sizes.method_draws))
    distance = pd.DataFrame(distances, columns=["method", "parameter", "spectrum", "KS"])
    mean = distance.groupby(["method", "parameter"])["KS"].mean().unstack()
    table = {}
    for name, draw in compared.items():
        many = {key: value[: sizes.calibration] for key, value in test.items()}
        wide = draw(many["bands"], sizes.draws, 6)
        covered = coverage({"s_O2": many["s_O2"]}, {"s_O2": wide["s_O2"]}, seed=6)
        outside = (wide["s_O2"] < 0.0) | (wide["s_O2"] > 1.0)
        table[name] = {
            "KS, identifiable": mean.loc[name, list(IDENTIFIABLE)].mean(),
            "KS, like the prior": mean.loc[name, list(PRIOR_LIKE)].mean(),
            "KS by chance": np.mean(by_chance),
            **{f"KS {parameter}": mean.loc[name, parameter] for parameter in IDENTIFIABLE},
            "correlation v_hb1, a_mie1": _correlation(draws[name]),
            "reference correlation": np.mean(correlations),
            "calibration error s_O2": covered.calibration_error[0],
            "95 % interval s_O2 holds": float(
                covered.empirical[np.argmin(abs(covered.nominal - 0.95)), 0]
            ),
            "s_O2 outside [0, 1]": outside.mean(),
            "error of s_O2": np.median(np.abs(np.median(wide["s_O2"], axis=1) - many["s_O2"])),
        }
    study.write(pd.DataFrame(table).T.rename_axis("method"), "methods.csv")
    # The spectrum on which the Gaussian network is furthest from the reference in s_O2.
    misled = distance.query("method == 'Gaussian network' and parameter == 's_O2'")
    worst = int(misled.loc[misled["KS"].idxmax(), "spectrum"])
    [exact] = from_prior(*study.prior, seen[worst : worst + 1], networks.OPTIONS["8"])
    shown = {
        name: {key: value[worst] for key, value in found.items()} for name, found in draws.items()
    }
    truth = {name: float(test[name][worst]) for name in NAMES}
    again = exact.sample(sizes.method_draws, 5)
    figures.compare_methods(again, shown, truth, study.target / "methods.png")


def _correlation(draws: Arrays) -> float:
    return float(
        np.mean(
            [np.corrcoef(*pair)[0, 1] for pair in zip(draws["v_hb1"], draws["a_mie1"], strict=True)]
        )
    )


def identifiable(study: Study) -> None:
    """Compare posterior and prior sd with the linearised figures.

    The sd are those around the reference tissue, and over the prior.
    """
    posterior = study.posterior("8")
    sizes = study.sizes
    seen = scenarios.simulated(scenarios.reference_tissue(200), "8", 30)
    near = posterior.sample({"bands": seen}, draws=sizes.draws, seed=7)
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
    table = {}
    spread = {}
    for name in study.sizes.cameras:
        posterior = study.posterior(name)
        sizes = study.sizes
        observed = {"bands": scenarios.simulated(scenarios.reference_tissue(1), name, 31)[0]}
        found = bi.diagnose(
            posterior,
            simulations=sizes.diagnosed,
            draws=sizes.draws,
            seed=9,
            observed=observed,
            progress=False,
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
                "information [nats]": found["information"].mean[
                    list(found["information"].columns).index(parameter)
                ],
                "all parameters [nats]": found["information"].joint_mean,
            }
            if parameter == "s_O2":
                spread[name] = high - low
    study.write(pd.DataFrame(table).T.rename_axis(["bands", "parameter"]), "design.csv")
    prior_width = float(np.diff(np.quantile(study.test[0]["s_O2"], [0.16, 0.84]))[0])
    figures.compare_cameras(spread, prior_width, pd.DataFrame(table).T, study.target / "design.png")


def out_of_distribution(study: Study) -> None:
    """Flag tissues and cameras that the network wasn't trained for, by the answers' p-values."""
    posterior = study.posterior("8")
    sizes = study.sizes
    test, found = study.test
    n = sizes.calibration
    usual = posterior.sample(
        {"bands": measured(found[:n], networks.OPTIONS["8"], 40)}, draws=1, seed=11
    ).p_value
    table = {"held-out tissues": _flagged(usual) | {"ROC AUC": np.nan}}
    for name, bands in scenarios.unusual(test, found, n).items():
        p_value = posterior.sample({"bands": bands}, draws=1, seed=12).p_value
        auc = roc_auc_score(
            np.repeat([0, 1], [len(usual), len(p_value)]), -np.concatenate([usual, p_value])
        )
        table[name] = _flagged(p_value) | {"ROC AUC": auc}
    study.write(pd.DataFrame(table).T.rename_axis("data"), "out_of_distribution.csv")


def _flagged(p_value: np.ndarray) -> dict[str, float]:
    return {"flagged at 1 %": np.mean(p_value < 0.01), "flagged at 5 %": np.mean(p_value < 0.05)}


def oxygenation_map(study: Study) -> None:
    """Infer a synthetic image pixel by pixel, in blocks of rows."""
    posterior = study.posterior("8")
    sizes = study.sizes
    parameters = scenarios.image(sizes.side)
    bands = scenarios.simulated(parameters, "8", 50)
    started = time.perf_counter()
    results = []
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
    "against_references": against_references,
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
