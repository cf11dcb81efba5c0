"""Which diagnostic catches which fault: size and power of every test, on exact posteriors broken in known ways.

    python paper_results/diagnostics_power/run.py [--quick]

Writes results.csv, grades.csv, brief.csv, misspecification.csv and figures beside this file; ``--only PART`` one of
them. ``--quick`` runs a few repetitions and writes nothing that stays.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Literal

import joblib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

import bayesinn as bi
from bayesinn import diagnostics, plots
from bayesinn.diagnostics.tested import Tested
from bayesinn.testing.conjugate import FAULTS, Conjugate, Fault
from bayesinn.workflow import Evidence, diagnose_arrays

SEED = 1
SIMULATIONS, DRAWS = 1_000, 250
SIZE_REPETITIONS, POWER_REPETITIONS = 200, 100
ALPHA = 0.05
OBSERVATION = np.array([1.0, 1.0])
# Comparison with a reference: draws of one posterior, and as many of the exact one.
COMPARED = 1_000

Problem = tuple[Fault, Literal[1, 2]]
PROBLEMS: list[Problem] = [
    ("none", 1),
    ("none", 2),
    *((fault, 1) for fault in FAULTS[1:-1]),
    ("flipped mode", 2),
]
GRADE_REPETITIONS = 50
# Four correct posteriors and eight broken ones, with numbers of simulations.
GRADED: list[tuple[Problem, int]] = [
    *((problem, size) for size in (1_000, 5_000) for problem in PROBLEMS[:2]),
    *((problem, 1_000) for problem in [*PROBLEMS[2:], ("too narrow", 2), ("shifted", 2)]),
]
PARTS = ("results", "grades", "brief", "misspecification")


def main() -> None:
    """Repeat, count, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    given = parser.parse_args()
    with (
        joblib.Parallel(n_jobs=1 if given.quick else 2) as parallel,
        tempfile.TemporaryDirectory() as folder,
    ):
        target = Path(folder) if given.quick else Path(__file__).parent
        if "results" in given.only:
            results = rejections(parallel, given.quick)
            results.to_csv(target / "results.csv", float_format="%.3g")
            draw(results).savefig(target / "power.png", dpi=150)
            print(results.T.to_string(float_format="%.2f"))
        if "grades" in given.only:
            graded = grades(parallel, given.quick)
            graded.to_csv(target / "grades.csv", index=False, float_format="%.3g")
            print(graded.to_string(index=False))
        if "brief" in given.only:
            found = brief(given.quick)
            found.to_csv(target / "brief.csv", index=False, float_format="%.3g")
            print(found.to_string(index=False))
        if "misspecification" in given.only:
            curves = misspecification(given.quick)
            curves.to_csv(target / "misspecification.csv", index=False, float_format="%.3g")
            plots.save(
                plots.misspecification_power(curves, alternative="shift of the prior mean [prior sd]"),
                target / "misspecification.png",
            )
            print(curves.to_string(index=False))


def rejections(parallel: joblib.Parallel, quick: bool) -> pd.DataFrame:
    """Share of repetitions in which each test rejects, by posterior."""
    started, rows = time.monotonic(), []
    simulations = 100 if quick else SIMULATIONS
    for fault, modes in PROBLEMS:
        repetitions = 2 if quick else SIZE_REPETITIONS if fault == "none" else POWER_REPETITIONS
        p_values = pd.DataFrame(
            parallel(
                joblib.delayed(tests)(fault, modes, simulations, SEED + 1_000 * repetition)
                for repetition in range(repetitions)
            )
        )
        rows.append({"posterior": title(fault, modes), "repetitions": repetitions, **(p_values <= ALPHA).mean()})
        print(f"{title(fault, modes)}: {time.monotonic() - started:.0f} s", flush=True)
    return pd.DataFrame(rows).set_index("posterior")


def title(fault: Fault, modes: int) -> str:
    """Name a posterior."""
    return f"{'correct' if fault == 'none' else fault}{', two modes' if modes == 2 else ''}"


def grades(parallel: joblib.Parallel, quick: bool) -> pd.DataFrame:
    """Share of repetitions in which the verdict is within, undecided and outside, by posterior and simulations."""
    rows = []
    for (fault, modes), simulations in GRADED:
        repetitions = 1 if quick else GRADE_REPETITIONS
        found = parallel(
            joblib.delayed(grade)(fault, modes, 200 if quick else simulations, SEED + 1_000 * repetition)
            for repetition in range(repetitions)
        )
        shares = {
            name: float(np.mean([value == name for value in found])) for name in ("within", "undecided", "outside")
        }
        rows.append(
            {"posterior": title(fault, modes), "simulations": simulations, "repetitions": repetitions, **shares}
        )
        print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def grade(fault: Fault, modes: Literal[1, 2], simulations: int, seed: int) -> str:
    """One repetition: the grade of a posterior whose likelihood is known."""
    posterior, correct = Conjugate(fault, modes), Conjugate(modes=modes)
    theta, data = posterior.simulate(simulations, seed)
    draws = posterior.sample(data, DRAWS, seed)
    both = np.concatenate([theta[:, None], draws], axis=1)
    prior = correct.prior_log_prob(both)
    more_theta, more_data = posterior.simulate(simulations, seed + 1)
    evidence = Evidence(
        named(theta),
        named(draws),
        named(np.random.default_rng([seed, 5]).normal(size=(5_000, 2))),
        seed=seed,
        log_prob=pair(posterior.log_prob(both, data)),
        prior_log_prob=pair(prior),
        log_likelihood=pair(correct.log_prob(both, data) - prior),
        references=named(diagnostics.reference_points(more_data, more_theta, data, seed=seed)),
        latent=(posterior.latent(theta, data), np.random.default_rng([seed, 4]).normal(size=(simulations, DRAWS, 2))),
    )
    return diagnose_arrays(evidence).grade


def brief(quick: bool) -> pd.DataFrame:
    """Grades of networks trained for 60 steps and looked at with 100 simulations."""
    rows = []
    for seed in range(1, 2 if quick else 21):
        posterior = bi.AmortizedPosterior(bi.get("sir")).fit(steps=60, seed=seed, progress=False)
        found = bi.diagnose(posterior, simulations=100, draws=100, seed=seed, progress=False)
        rows.append({"seed": seed, "grade": found.grade, "outside": "; ".join(found.outside)})
    return pd.DataFrame(rows)


def tests(fault: Fault, modes: Literal[1, 2], simulations: int, seed: int) -> dict[str, float]:
    """One repetition: the p-value of each test, over all its columns."""
    posterior, correct = Conjugate(fault, modes), Conjugate(modes=modes)
    theta, data = posterior.simulate(simulations, seed)
    draws = posterior.sample(data, DRAWS, seed)
    truth, drawn = named(theta), named(draws)
    both = np.concatenate([theta[:, None], draws], axis=1)
    log_prob = posterior.log_prob(both, data)
    # The log likelihood, up to a constant for each data set.
    likelihood = correct.log_prob(both, data) - correct.prior_log_prob(both)
    more_theta, more_data = posterior.simulate(simulations, seed + 1)
    points = diagnostics.reference_points(more_data, more_theta, data, seed=seed)
    latent = posterior.latent(theta, data)
    normal = np.random.default_rng([seed, 4]).normal(size=(simulations, DRAWS, 2))
    sbc = diagnostics.sbc(truth, drawn, seed=seed)
    results: dict[str, Tested | float] = {
        "SBC": sbc,
        "SBC, chi-square": float(min(1.0, 2.0 * sbc.chi_square_p_value.min())),
        "coverage": diagnostics.coverage(truth, drawn, seed=seed),
        "joint coverage": diagnostics.joint_coverage(log_prob[:, 0], log_prob[:, 1:], seed=seed),
        "TARP": diagnostics.tarp(truth, drawn, named(points), seed=seed),
        "TARP, points at random": diagnostics.tarp(truth, drawn, seed=seed),
        "dependence": diagnostics.dependence(truth, drawn, seed=seed),
        "SBC of log likelihood": diagnostics.sbc({"l": likelihood[:, 0]}, {"l": likelihood[:, 1:]}, seed=seed),
        "latent codes": diagnostics.latent_codes(latent, normal, seed=seed),
        "L-C2ST": local(latent, data, seed),
        "posterior SBC": around(posterior, simulations, seed),
    }
    results |= against_reference(posterior, correct, seed)
    return {name: value if isinstance(value, float) else value.family_p_value for name, value in results.items()}


def around(posterior: Conjugate, simulations: int, seed: int) -> Tested:
    """Posterior SBC at the observation."""
    proposed = posterior.sample(np.repeat(OBSERVATION[None], simulations, axis=0), DRAWS + 1, seed + 2)
    replicated = posterior.replicate(proposed[:, 0], seed + 2)
    weights = posterior.log_prob(proposed, replicated) - posterior.prior_log_prob(proposed)
    return diagnostics.posterior_sbc(
        named(proposed[:, 0]), named(proposed[:, 1:]), weights[:, 0], weights[:, 1:], seed=seed
    )


def local(latent: np.ndarray, data: np.ndarray, seed: int) -> Tested:
    """L-C2ST at the observation; the data are their own summary."""
    return diagnostics.local_c2st(latent, data, OBSERVATION, seed=seed)


def against_reference(posterior: Conjugate, correct: Conjugate, seed: int) -> dict[str, Tested | float]:
    """Draws from the posterior of the observation against draws from the exact one."""
    drawn = posterior.sample(OBSERVATION[None], COMPARED, seed + 3)[0]
    exact = correct.sample(OBSERVATION[None], COMPARED, seed + 4)[0]
    kolmogorov_smirnov = min(stats.ks_2samp(drawn[:, index], exact[:, index]).pvalue for index in range(2))
    return {
        "MMD to exact draws": diagnostics.mmd(drawn, exact, permutations=199, seed=seed),
        "KS to exact draws": float(min(1.0, 2.0 * kolmogorov_smirnov)),
    }


def misspecification(quick: bool) -> pd.DataFrame:
    """Rejection rate of the summary-space test, for M data sets whose parameters come from a shifted prior."""
    problem = Conjugate()
    count = 400 if quick else 4_000
    _, simulated = problem.simulate(1_000, SEED)
    theta, _ = problem.simulate(count, SEED + 1)
    shifted = {shift: problem.replicate(theta + shift, SEED + 2) for shift in (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0)}
    return diagnostics.misspecification_power(shifted, simulated, tests=20 if quick else 400, seed=SEED, level=0.95)


def pair(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Truths and draws."""
    return values[:, 0], values[:, 1:]


def named(values: np.ndarray) -> dict[str, np.ndarray]:
    """Columns as parameters."""
    return {"first": values[..., 0], "second": values[..., 1]}


def draw(results: pd.DataFrame) -> Figure:
    """The table as a picture: rejection rates at 5 %, tests down, posteriors across."""
    rates = results.drop(columns="repetitions").T
    figure = Figure(figsize=(9.0, 0.36 * len(rates) + 2.0), layout="constrained")
    ax = figure.add_subplot()
    image = ax.imshow(rates, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    for row, column in np.ndindex(rates.shape):
        value = rates.iloc[row, column]
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.6 else "black")
    ax.set_xticks(range(rates.shape[1]), rates.columns, rotation=30, ha="right")
    ax.set_yticks(range(len(rates)), rates.index)
    figure.colorbar(image, ax=ax, label="share of repetitions that reject at 5 %")
    return figure


if __name__ == "__main__":
    main()
