"""Which diagnostic catches which fault: grades and power of every check.

Posteriors are exact, and broken in known ways.

    python paper_results/diagnostics_power/run.py [--quick] [--only PART ...]

Writes grades.csv, results.csv, brief.csv, misspecification.csv and figures beside this file. Each
repetition adds a row to repetitions.csv, from which an interrupted run goes on; ``--only count``
counts what is there. ``--quick`` runs a few repetitions and writes nothing that stays.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

import bayesinn as bi
from bayesinn import diagnostics, plots
from bayesinn.diagnosis import Diagnosis, Evidence, checks, diagnose_arrays
from bayesinn.diagnosis.evidence import Observation
from bayesinn.diagnostics.deviation import Tested
from bayesinn.flows import coupling
from bayesinn.plots.panels import styled
from bayesinn.posterior.typicality import Reference
from bayesinn.summaries import MLP
from bayesinn.testing.conjugate import FAULTS, Conjugate

# Half as many first trials of L-C2ST, which are most of the time. Where they leave it open, more
# follow, as always.
checks._TRIALS = 99

HERE = Path(__file__).parent
SEED = 1
# Posterior draws: as many as bi.diagnose takes where power is told, elsewhere fewer, which save
# time.
DRAWS = 100
TOLD_DRAWS = 200
PRIOR_DRAWS = 1_000
PILOTS = 2_048
PREDICTED = 8_000
ALPHA = 0.05
# Comparison with a reference: draws of one posterior, and as many of the exact one.
COMPARED = 1_000
# The number of simulations at which the power of tests is told.
TOLD = 1_000
GRADES = ("within", "undecided", "outside", "flagged")
#: An observation that no parameters make.
ODD = np.array([6.0, -6.0])


class Tolerable(Conjugate):
    """A posterior that is wrong, but just within tolerance.

    Means are off by 0.065 sd, sds are too small by 1 / 1.045.
    """

    def _components(self, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        means, factor = super()._components(data)
        sd = np.sqrt(np.diag(factor @ factor.T))
        return means + 0.065 * np.array([1.0, -1.0]) * sd, factor / 1.045


CORRECT: dict[str, Conjugate] = {
    "correct": Conjugate(),
    "correct, two modes": Conjugate(modes=2),
    "within tolerance": Tolerable(),
}
ODDLY = "correct, odd observation"
BROKEN: dict[str, Conjugate] = {
    **{fault: Conjugate(fault) for fault in FAULTS[1:-1]},
    "flipped mode, two modes": Conjugate("flipped mode", modes=2),
    "too narrow, two modes": Conjugate("too narrow", modes=2),
    "shifted, two modes": Conjugate("shifted", modes=2),
}
POSTERIORS = CORRECT | {ODDLY: Conjugate()} | BROKEN
# Smaller faults, of which only grades are told.
UNTOLD = ("within tolerance", ODDLY, "too narrow, two modes", "shifted, two modes")
SIZES = (20, 50, 100, 300, 1_000, 5_000)
REPETITIONS = dict.fromkeys(SIZES, 200)
BROKEN_REPETITIONS = {20: 20, 50: 20, 100: 20, 300: 20, 1_000: 100, 5_000: 10}
BLOCK = 5
PARTS = ("grades", "sizes", "brief", "misspecification")
COUNT = "count"
#: Names of tests in the table of power, and those of their checks.
TESTS = {
    "SBC": "SBC",
    "coverage": "coverage",
    "joint coverage": "joint coverage",
    "TARP": "TARP",
    "dependence": "dependence",
    "SBC of log likelihood": "fit to the data",
    "latent codes": "latent codes",
    "L-C2ST": "L-C2ST",
    "posterior SBC": "posterior SBC",
}
FURTHER = ("SBC, chi-square", "TARP, points at random", "MMD to exact draws", "KS to exact draws")
CHECKS = (
    "SBC",
    "coverage",
    "joint coverage",
    "TARP",
    "dependence",
    "fit to the data",
    "test quantities",
    "latent codes",
    "L-C2ST",
    "posterior SBC",
    "observation",
    "predictive",
    "sharpness",
)
COLUMNS = (
    "posterior",
    "simulations",
    "repetition",
    "seconds",
    "verdict",
    *CHECKS,
    *(f"p {name}" for name in (*TESTS, *FURTHER)),
)


def main() -> None:
    """Repeat, count, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=(*PARTS, COUNT), nargs="+", default=PARTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if given.quick else HERE
        if "grades" in given.only:
            repeat(target / "repetitions.csv", given.quick)
        if {"grades", COUNT} & set(given.only):
            count(target / "repetitions.csv", target)
        if "sizes" in given.only:
            sizes(given.quick).to_csv(target / "sizes.csv", index=False, float_format="%.3g")
        if "brief" in given.only:
            found = brief(given.quick)
            found.to_csv(target / "brief.csv", index=False, float_format="%.3g")
            print(found.to_string(index=False))
        if "misspecification" in given.only:
            curves = misspecification(given.quick)
            curves.to_csv(target / "misspecification.csv", index=False, float_format="%.3g")
            plots.save(
                plots.misspecification_power(
                    curves, alternative="shift of the prior mean [prior sd]"
                ),
                target / "misspecification.svg",
            )
            print(curves.to_string(index=False))


def plan(quick: bool) -> Iterator[tuple[str, int, int]]:
    """Yield posterior, simulations and number of each repetition, cheap ones first."""
    if quick:
        yield from (
            (name, 20, 0) for name in ("correct, two modes", ODDLY, "too narrow, two modes")
        )
        yield "correct", TOLD, 0
        return
    everything = [
        (name, size, number)
        for name in POSTERIORS
        for size, most in (REPETITIONS if name in CORRECT else BROKEN_REPETITIONS).items()
        for number in range(most)
    ]

    def cost(item: tuple[str, int, int]) -> float:
        name, size, number = item
        return (number // BLOCK + 1) * (size + 500) * (1 if name in CORRECT or size == TOLD else 4)

    yield from sorted(everything, key=cost)


def repeat(file: Path, quick: bool) -> None:
    """Add a row for each repetition that the file does not have."""
    new = not file.exists()
    done = (
        set()
        if new
        else set(
            pd.read_csv(file)[["posterior", "simulations", "repetition"]].itertuples(
                index=False, name=None
            )
        )
    )
    with file.open("a", newline="") as opened:
        writer = csv.DictWriter(opened, COLUMNS)
        if new:
            writer.writeheader()
        for name, simulations, number in plan(quick):
            if (name, simulations, number) in done:
                continue
            started = time.process_time()
            row = repetition(name, simulations, SEED + 1_000 * number)
            seconds = f"{time.process_time() - started:.2f}"
            key = {
                "posterior": name,
                "simulations": simulations,
                "repetition": number,
                "seconds": seconds,
            }
            writer.writerow(key | row)
            opened.flush()
            if number % BLOCK == 0:
                print(name, simulations, seconds, flush=True)


def repetition(name: str, simulations: int, seed: int) -> dict[str, str | float]:
    """Return the grade of each check, and the p-value of each test where power is told."""
    posterior = POSTERIORS[name]
    exact = Conjugate(modes=posterior.modes)
    theta, data = posterior.simulate(simulations, seed)
    seen = ODD if name == ODDLY else exact.simulate(1, seed + 2)[1][0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = diagnose_arrays(evidence(posterior, theta, data, seen, seed))
    row: dict[str, str | float] = {"verdict": found.grade}
    row |= {
        finding.check.name: finding.grade or "none"
        for finding in found.findings
        if finding.check.name in CHECKS
    }
    if simulations == TOLD and name not in UNTOLD:
        p_values = {finding.check.name: finding.p_value for finding in found.findings}
        row |= {f"p {test}": float(f"{p_values[check]:.3g}") for test, check in TESTS.items()}
        row |= {
            f"p {test}": float(f"{value:.3g}")
            for test, value in further(found, posterior, seen, seed).items()
        }
    return row


def evidence(
    posterior: Conjugate, theta: np.ndarray, data: np.ndarray, seen: np.ndarray, seed: int
) -> Evidence:
    """Return all that can be known of a posterior, whose likelihood is known, too."""
    exact = Conjugate(modes=posterior.modes)
    simulations = len(theta)
    number = count_draws(len(theta))
    draws = posterior.sample(data, number, seed)
    both = np.concatenate([theta[:, None], draws], axis=1)
    prior = exact.prior_log_prob(both)
    return Evidence(
        named(theta),
        named(draws),
        named(np.random.default_rng([seed, 5]).normal(size=(PRIOR_DRAWS, 2))),
        seed=seed,
        log_prob=pair(posterior.log_prob(both, data)),
        prior_log_prob=pair(prior),
        log_likelihood=pair(exact.log_prob(both, data) - prior),
        # They follow the data, as the estimates do that bi.diagnose learns for them, at no cost.
        references=named(exact.sample(data, 1, seed + 1)[:, 0]),
        quantities={"sum": pair(both.sum(axis=2))},
        latent=(
            posterior.latent(theta, data),
            np.random.default_rng([seed, 4]).normal(size=(simulations, number, 2)),
        ),
        observation=around(posterior, data, seen, seed),
    )


def count_draws(simulations: int) -> int:
    """Return the number of posterior draws for each data set."""
    return TOLD_DRAWS if simulations == TOLD else DRAWS


def around(posterior: Conjugate, data: np.ndarray, seen: np.ndarray, seed: int) -> Observation:
    """Return what bi.diagnose gathers around an observation; the data are their own summary."""
    simulations = len(data)
    proposed = posterior.sample(
        np.repeat(seen[None], simulations, axis=0), count_draws(simulations) + 1, seed + 3
    )
    replicated = posterior.replicate(proposed[:, 0], seed + 3)
    weights = posterior.log_prob(proposed, replicated) - posterior.prior_log_prob(proposed)
    reference = pilots(posterior.modes)
    typical = reference.compare(seen[None], {"x": seen[None]})
    drawn = posterior.sample(seen[None], PREDICTED, seed + 4)[0]
    return Observation(
        typicality=typical.row(0),
        features=data,
        own_features=seen[None],
        observed={"x": seen},
        draws=named(drawn),
        predicted={"x": posterior.replicate(drawn, seed + 4)},
        replicates=(named(proposed), weights),
        draw_latent=lambda count, stream: np.random.default_rng([stream, 6]).normal(
            size=(count, 2)
        ),
        from_latent=named,
    )


@lru_cache
def pilots(modes: Literal[1, 2]) -> Reference:
    """Return the simulations that observations are compared with, as many as after training."""
    _, data = Conjugate(modes=modes).simulate(2 * PILOTS, 10**6)
    return Reference.fit(data, {"x": data})


def further(
    found: Diagnosis, posterior: Conjugate, seen: np.ndarray, seed: int
) -> dict[str, float]:
    """Return p-values of tests that no verdict has."""
    given = found.evidence
    drawn = posterior.sample(seen[None], COMPARED, seed + 5)[0]
    exact = Conjugate(modes=posterior.modes).sample(seen[None], COMPARED, seed + 6)[0]
    kolmogorov_smirnov = min(
        stats.ks_2samp(drawn[:, index], exact[:, index]).pvalue for index in range(2)
    )
    p_values: dict[str, Tested | float] = {
        "SBC, chi-square": float(min(1.0, 2.0 * found["sbc"].chi_square_p_value.min())),
        "TARP, points at random": diagnostics.tarp(given.truth, given.draws, seed=seed),
        "MMD to exact draws": diagnostics.mmd(drawn, exact, permutations=199, seed=seed),
        "KS to exact draws": float(min(1.0, 2.0 * kolmogorov_smirnov)),
    }
    return {
        name: value if isinstance(value, float) else value.family_p_value
        for name, value in p_values.items()
    }


def count(file: Path, target: Path) -> None:
    """Write grades.csv, results.csv and the figure of power."""
    rows = pd.read_csv(file, dtype={"repetition": int})
    graded = shares(rows)
    graded.to_csv(target / "grades.csv", index=False, float_format="%.3g")
    results = rejections(rows)
    results.to_csv(target / "results.csv", float_format="%.3g")
    plots.save(draw(results), target / "power.svg")
    print(graded[graded["check"] == "verdict"].to_string(index=False))
    print(results.T.to_string(float_format="%.3f"))
    print(f"{rows['seconds'].sum() / 60.0:.0f} minutes of one core")


def shares(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the share of repetitions with each grade, by posterior, size and check.

    The verdict comes first.
    """
    table = []
    for (name, simulations), part in rows.groupby(["posterior", "simulations"], sort=False):
        for check in ("verdict", *CHECKS):
            found = part[check].dropna()
            table.append(
                {
                    "posterior": name,
                    "simulations": simulations,
                    "check": check,
                    "repetitions": len(found),
                }
                | {grade: float(np.mean(found == grade)) if len(found) else 0.0 for grade in GRADES}
            )
    order = {name: place for place, name in enumerate(POSTERIORS)}
    return pd.DataFrame(table).sort_values(
        ["posterior", "simulations"], key=lambda part: part.replace(order), kind="stable"
    )


def rejections(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the share of repetitions in which each test rejects, by posterior."""
    told = rows[(rows["simulations"] == TOLD) & ~rows["posterior"].isin(UNTOLD)]
    table = []
    for name, part in told.groupby("posterior", sort=False):
        rates = {test: float(np.mean(part[f"p {test}"] <= ALPHA)) for test in (*TESTS, *FURTHER)}
        table.append({"posterior": name, "repetitions": len(part), **rates})
    return pd.DataFrame(table).set_index("posterior")


def sizes(quick: bool) -> pd.DataFrame:
    """Return how large the faults are: what SBC finds with many simulations."""
    rows = []
    for name, posterior in BROKEN.items():
        theta, data = posterior.simulate(200 if quick else 10_000, SEED)
        draws = posterior.sample(data, TOLD_DRAWS, SEED)
        for deviation in diagnostics.sbc(named(theta), named(draws), seed=SEED).deviations[:2]:
            for column, estimate in zip(deviation.columns, deviation.estimate, strict=True):
                measure = {"posterior": name, "measure": deviation.measure, "column": column}
                rows.append(measure | {"estimate": estimate, "unit": deviation.unit})
    return pd.DataFrame(rows)


def brief(quick: bool) -> pd.DataFrame:
    """Grades of networks trained for 60 steps and looked at with 100 simulations."""
    rows = []
    for seed in range(1, 2 if quick else 21):
        networks = (MLP(16, hidden=(16,)), coupling(1, (16,))) if quick else ()
        posterior = bi.AmortizedPosterior(bi.get_simulator("sir"), *networks)
        posterior.fit(steps=10 if quick else 60, seed=seed, progress=False)
        size = 40 if quick else 100
        found = bi.diagnose(posterior, simulations=size, draws=size, seed=seed, progress=False)
        rows.append({"seed": seed, "grade": found.grade, "outside": "; ".join(found.outside)})
    return pd.DataFrame(rows)


def misspecification(quick: bool) -> pd.DataFrame:
    """Rejection rate of the summary-space test for M data sets with a shifted prior."""
    problem = Conjugate()
    count = 400 if quick else 4_000
    _, simulated = problem.simulate(1_000, SEED)
    theta, _ = problem.simulate(count, SEED + 1)
    shifted = {
        shift: problem.replicate(theta + shift, SEED + 2)
        for shift in (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
    }
    return diagnostics.misspecification_power(
        shifted, simulated, tests=20 if quick else 400, seed=SEED, level=0.95
    )


def pair(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Truths and draws."""
    return values[:, 0], values[:, 1:]


def named(values: np.ndarray) -> dict[str, np.ndarray]:
    """Columns as parameters."""
    return {"first": values[..., 0], "second": values[..., 1]}


@styled
def draw(results: pd.DataFrame) -> Figure:
    """The table as a picture: rejection rates at 5 %, tests down, posteriors across."""
    rates = 100.0 * results.drop(columns="repetitions").T
    figure = Figure(figsize=(7.4, 0.32 * len(rates) + 1.6), layout="constrained")
    ax = figure.add_subplot()
    image = ax.imshow(rates, cmap="Blues", vmin=0.0, vmax=100.0, aspect="auto")
    for row, column in np.ndindex(rates.shape):
        value = rates.iloc[row, column]
        colour = "white" if value > 60.0 else "black"
        ax.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour)
    ax.set_xticks(range(rates.shape[1]), rates.columns, rotation=30, ha="right")
    ax.set_yticks(range(len(rates)), rates.index)
    ax.spines[:].set_visible(False)
    figure.colorbar(image, ax=ax, label="repetitions that reject at 5 % [%]")
    return figure


if __name__ == "__main__":
    main()
