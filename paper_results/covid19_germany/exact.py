"""The exact posterior, by tempered sequential Monte Carlo: Germany, and twenty simulated data sets.

Particles start from the amortized posterior, which is wider than the exact one but knows where it
is, and move in the coordinates in which it has fitted the data. Where they remember much of their
start all the same, there is a second run, to see how much two of them differ; so there is for
Germany, once from the prior and in plain coordinates.

With the regular noise alone. The published noise has atoms, where the exact posterior is another
one than that which any network can learn from simulations; see README.md.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from published import GERMANY
from shared import SEED, Arrays, Study, largest_differences
from train import FOLDERS, HERE, options_of

import bayesinn as bi
from bayesinn import plots
from bayesinn.plots.panels import BLACK, BLUE, GREY, ORANGE, styled
from bayesinn.simulators.covid19 import germany
from bayesinn.simulators.covid19_prior import covid19_prior

NAME = "covid19_regular"
RUNS = (1, 2)
DATA_SETS = 20
GERMAN = "germany"
FROM_PRIOR = ("germany", 1)
KEPT = 2_000
SEEN = 1_000
DRAWS = 10_000
MOST_LEFT = 0.5
# Of each run, draws and what is known about it.
Runs = list[tuple[dict[str, np.ndarray], dict[str, float]]]
# A posterior, the folder of one for other processes, or the prior.
Start = bi.AmortizedPosterior | Path | None
_QUICK = {
    "particles": 100,
    "moves": 3,
    "most_moves": 3,
    "final_moves": 3,
    "ess": 0.05,
    "xla": False,
}


def run(study: Study) -> None:
    """Sample what isn't there yet, compare, draw figures."""
    # In quick mode a model that is there anyway stands in.
    name = "covid19" if study.quick else NAME
    data, truths = data_sets(study.size(DATA_SETS, 1))
    folder = study.target / "exact_draws"
    folder.mkdir(exist_ok=True)
    posterior = study.posterior(name)
    if posterior is None:
        return
    start: Start = HERE / FOLDERS[name] if study.jobs > 1 and not study.quick else posterior
    files: dict[str, list[Path]] = {key: [] for key in data}
    for seed in RUNS:
        jobs = [
            (
                _file(folder, key, seed),
                observation,
                seed,
                None if (key, seed) == FROM_PRIOR else start,
            )
            for key, observation in data.items()
            if seed == RUNS[0]
            or key == GERMAN
            or _read(files[key])[0][1]["correlation_left"] > MOST_LEFT
        ]
        _sample_all(name, [job for job in jobs if not _is_there(*job)], study)
        for file, *_ in jobs:
            files[file.stem.removesuffix(f"_seed{seed}")].append(file)
    _compare(study, posterior, data, truths, files)


def data_sets(number: int) -> tuple[dict[str, Arrays], dict[str, Arrays]]:
    """The German counts and some simulated ones, and the true parameters of these.

    They were drawn with phases from VonMises(0, 0.01), which Uniform(-pi, pi) has replaced: the same
    within 1 %, but other numbers for a seed.
    """
    with np.load(HERE / "exact_draws" / "data_sets.npz") as stored:
        simulations = dict(stored)
    keys = {f"simulated_{row:02d}": row for row in range(number)}
    data = {GERMAN: germany()}
    data |= {
        key: {series: simulations[series][row] for series in germany()} for key, row in keys.items()
    }
    truths = {
        key: {name: simulations[name][row : row + 1] for name in GERMANY}
        for key, row in keys.items()
    }
    return data, truths


def stored_runs(folder: Path, key: str, observation: Arrays) -> Runs:
    """All exact draws of a data set that are there."""
    files = [_file(folder, key, seed) for seed in RUNS]
    starts: list[Start] = [None if (key, seed) == FROM_PRIOR else folder for seed in RUNS]
    return _read(
        [
            f
            for f, seed, start in zip(files, RUNS, starts, strict=True)
            if _is_there(f, observation, seed, start)
        ]
    )


def _file(folder: Path, key: str, seed: int) -> Path:
    return folder / f"{key}_seed{seed}.npz"


def _is_there(file: Path, data: Arrays, _: int, start: Start) -> bool:
    """Whether there are draws for these data, from this start.

    Simulated counts differ by rounding.
    """
    if not file.is_file():
        return False
    with np.load(file) as arrays:
        same = [
            np.allclose(arrays[f"data_{name}"], value, rtol=1e-4, atol=1e-4)
            for name, value in data.items()
        ]
        return (
            all(same)
            and len(arrays["alpha"]) == KEPT
            and bool(arrays["_amortized_start"]) == (start is not None)
        )


def germany_draws(study: Study) -> Arrays | None:
    """Exact draws for Germany of both runs together; None, with a message, if not run yet."""
    files = [_file(study.target / "exact_draws", GERMAN, seed) for seed in RUNS]
    if not all(file.is_file() for file in files):
        print(
            "  no exact draws for Germany yet: run --only exact; columns of the exact posterior "
            "are left out"
        )
        return None
    return pooled([draws for draws, _ in _read(files)])


def _sample_all(name: str, jobs: list[tuple[Path, Arrays, int, Start]], study: Study) -> None:
    settings = _QUICK if study.quick else {}
    if study.jobs == 1:
        for job in jobs:
            _note(job[0], sample(name, *job, settings))
        return
    # For the workers, which are new processes: TensorFlow doesn't survive a fork.
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(study.jobs, context) as pool:
        futures = {pool.submit(sample, name, *job, settings): job[0] for job in jobs}
        for future in as_completed(futures):
            _note(futures[future], future.result())


def _note(file: Path, seconds: float) -> None:
    print(f"  {file.stem}: {seconds / 60:.1f} minutes of processor time", flush=True)


def sample(
    name: str, file: Path, data: Arrays, seed: int, start: Start, settings: dict[str, Any]
) -> float:
    """Draw from one posterior into a file; return the seconds of processor time.

    Compilation is included where it was needed.
    """
    if isinstance(start, Path):
        start = _loaded(start)
    processor = time.process_time()
    result = bi.reference.tempered_smc(
        bi.get_simulator(name), data, start=start, seed=seed, progress=False, **settings
    )
    seconds = time.process_time() - processor
    draws = result.draws(KEPT, seed)
    # Whole or not at all: a file that is there is not drawn again.
    unfinished = file.with_suffix(".unfinished.npz")
    np.savez_compressed(
        unfinished,
        **{parameter: values.astype(np.float32) for parameter, values in draws.items()},
        **{f"data_{name}": value for name, value in data.items()},
        _log_evidence=result.log_evidence,
        _finite_share=result.finite_share,
        _processor_seconds=seconds,
        _correlation_left=float(result.correlations[-1]),
        _amortized_start=float(start is not None),
    )
    unfinished.replace(file)
    return seconds


@functools.cache
def _loaded(folder: Path) -> bi.AmortizedPosterior:
    """Once in a process, so that what is compiled for it serves all data sets."""
    return bi.load(folder)


def _read(files: list[Path]) -> Runs:
    """Draws of each run, and what is known about it."""
    runs = []
    for file in files:
        with np.load(file) as arrays:
            facts = {name[1:]: float(arrays[name]) for name in arrays.files if name.startswith("_")}
            runs.append(({name: arrays[name] for name in GERMANY}, facts))
    return runs


def pooled(runs: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Draws of all runs, in turn, so that any part of them has as many of each."""
    return {name: np.stack([draws[name] for draws in runs], axis=-1).ravel() for name in GERMANY}


def _compare(
    study: Study,
    posterior: bi.AmortizedPosterior,
    data: dict[str, Any],
    truths: dict[str, Arrays],
    files: dict[str, list[Path]],
) -> None:
    rows = []
    by_parameter = {}
    all_facts = []
    for key, observation in data.items():
        runs = _read(files[key])
        row, differences, facts = against_exact(
            posterior, observation, runs, truths.get(key), study
        )
        by_parameter[key] = differences
        all_facts.append(facts)
        row = {"data": key, **row}
        if len(runs) > 1:
            between = by_parameter[f"{key}, exact runs"] = largest_differences(
                runs[0][0], runs[1][0]
            )
            row |= {
                "between_runs": between.mean(),
                "between_runs_worst": between.max(),
                "between_runs_by_chance": _by_chance(*(len(side["alpha"]) for side, _ in runs)),
            }
        rows.append(row | dict(facts))
    study.write(pd.DataFrame(rows), "exact")
    study.write(summary(pd.DataFrame(rows)), "exact_summary")
    table = pd.DataFrame(by_parameter).rename_axis("parameter").reset_index()
    table.to_csv(study.target / "exact_by_parameter.csv", index=False, float_format="%.4g")
    _amortization(study, posterior, all_facts)


def against_exact(
    posterior: bi.AmortizedPosterior,
    observation: Arrays,
    runs: Runs,
    truth: Arrays | None,
    study: Study,
) -> tuple[dict[str, Any], pd.Series, pd.Series]:
    """Distances of a posterior from the exact one of a data set, also by parameter.

    What is known of the runs is returned, too.
    """
    exact = pooled([draws for draws, _ in runs])
    facts = pd.DataFrame([facts for _, facts in runs]).mean()
    draws = posterior.sample(observation, draws=study.size(DRAWS, 100), seed=SEED)
    differences = largest_differences(draws, exact)
    row = {
        "mean_ks": differences.mean(),
        "worst_ks": differences.max(),
        "worst_parameter": differences.idxmax(),
        "ks_by_chance": _by_chance(*(len(side["alpha"]) for side in (exact, draws))),
        "c2st": bi.diagnostics.c2st(*(_matrix(side, study) for side in (draws, exact)), seed=SEED),
        **_moments(draws, exact),
        "out_of_distribution_p": float(draws.p_value),
    }
    if truth is not None:
        ours = float(np.ravel(posterior.log_prob(truth, observation))[0])
        row |= {
            "nats_short_at_truth": _log_density(posterior.simulator, truth, observation, facts)
            - ours,
            "truth_rms_sds_exact": _distance(truth, exact),
            "truth_rms_sds_ours": _distance(truth, draws),
        }
    return row, differences, facts


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and worst over data sets, one row for Germany and one for those that were simulated."""
    real = table["data"].str.startswith(GERMAN)
    parts = {"Germany": table[real], f"{(~real).sum()} simulated data sets": table[~real]}
    rows = []
    for label, part in parts.items():
        rows.append(
            {
                "data": label,
                "drawn twice": part["between_runs"].notna().sum() if "between_runs" in part else 0,
                "between exact runs": part["between_runs"].mean()
                if "between_runs" in part
                else np.nan,
                "runs by chance": part["between_runs_by_chance"].mean()
                if "between_runs" in part
                else np.nan,
                "mean KS": part["mean_ks"].mean(),
                "KS by chance": part["ks_by_chance"].mean(),
                "worst KS": part["worst_ks"].max(),
                "of": part.loc[part["worst_ks"].idxmax(), "worst_parameter"],
                "C2ST": part["c2st"].mean(),
                "median KS": part["mean_ks"].median(),
                "nats short": part["nats_short_at_truth"].mean(),
                "truth in exact [sd]": _root_mean_square(part["truth_rms_sds_exact"]),
                "truth in ours [sd]": _root_mean_square(part["truth_rms_sds_ours"]),
                "mean shift [sd]": part["mean_shift_sds"].mean(),
                "sd ratio": f"{part['smallest_sd_ratio'].min():.2f} to "
                f"{part['largest_sd_ratio'].max():.2f}",
                "minutes of processor time each": part["processor_seconds"].median() / 60,
            }
        )
    return pd.DataFrame(rows)


def _root_mean_square(values: pd.Series) -> float:
    return float((values**2).mean() ** 0.5)


def _moments(draws: Arrays, exact: Arrays) -> dict[str, float]:
    """How far means are shifted, in exact standard deviations, and how these differ."""
    sds = {name: values.std() for name, values in exact.items()}
    shifts = pd.Series(
        {name: (draws[name].mean() - exact[name].mean()) / sds[name] for name in exact}
    ).abs()
    ratios = pd.Series({name: draws[name].std() / sds[name] for name in exact})
    return {
        "mean_shift_sds": shifts.mean(),
        "worst_shift_sds": shifts.max(),
        "smallest_sd_ratio": ratios.min(),
        "largest_sd_ratio": ratios.max(),
    }


def _distance(truth: Arrays, draws: Arrays) -> float:
    """Root mean square distance of the true parameters from the draws' mean, in the draws' sds.

    About one, if the draws are of the posterior; it asks nothing of another sampler.
    """
    distances = [
        (float(np.ravel(truth[name])[0]) - draws[name].mean()) / draws[name].std()
        for name in GERMANY
    ]
    return float(np.sqrt(np.mean(np.square(distances))))


def _log_density(simulator: bi.Simulator, truth: Arrays, data: Arrays, facts: pd.Series) -> float:
    """Exact log density of the true parameters: likelihood times feasible prior, over evidence."""
    prior = covid19_prior(options_of(simulator.name))
    log_prior = sum(
        float(np.ravel(distribution.log_prob(truth[name]))[0])
        for name, distribution in prior.items()
    )
    log_likelihood = float(simulator.log_likelihood(truth, data)[0])
    return log_likelihood + log_prior - np.log(facts["finite_share"]) - facts["log_evidence"]


def _matrix(draws: Arrays, study: Study) -> np.ndarray:
    """As many draws as a classifier sees in a few seconds, (n, parameters)."""
    return np.stack([draws[name][: study.size(SEEN, 50)] for name in GERMANY], axis=-1)


def _by_chance(first: int, second: int) -> float:
    """Mean of the statistic for draws of one law: Kolmogorov's, sqrt(pi / 2) log 2."""
    return float(np.sqrt(np.pi / 2) * np.log(2) * np.sqrt(1 / first + 1 / second))


def _amortization(study: Study, posterior: bi.AmortizedPosterior, facts: list[pd.Series]) -> None:
    """Minutes of processor time by number of data sets; training counts on our side alone."""
    if "processor_minutes" not in posterior.training:
        return
    each = float(np.median([fact["processor_seconds"] for fact in facts])) / 60
    posterior.sample(germany(), draws=study.size(DRAWS, 100), seed=SEED)
    started = time.process_time()
    posterior.sample(germany(), draws=study.size(DRAWS, 100), seed=SEED + 1)
    ours = (time.process_time() - started) / 60
    training = float(posterior.training["processor_minutes"])
    row = {"training_minutes": training, "amortized_minutes_each": ours, "exact_minutes_each": each}
    row |= {"break_even_data_sets": training / (each - ours)}
    study.write(pd.DataFrame([row]), "amortization")
    plots.save(draw_amortization(row), study.target / "amortization.svg")


@styled
def draw_amortization(row: Mapping[str, float]) -> Figure:
    """Processor time of both ways, and the data sets at break-even: a row of amortization.csv.

    Amortization pays from this number of data sets on.
    """
    counts = np.geomspace(1, 1_000, 49)
    even = row["break_even_data_sets"]
    minutes = row["exact_minutes_each"] * even
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    ax = figure.add_subplot()
    ours = row["training_minutes"] + row["amortized_minutes_each"] * counts
    marks = {"markersize": 5.0, "markevery": 16}
    ax.loglog(counts, ours, "o-", color=BLUE, label="amortized, training included", **marks)
    exact = row["exact_minutes_each"] * counts
    ax.loglog(counts, exact, "s--", color=ORANGE, label="exact (tempered SMC)", **marks)
    ax.plot(even, minutes, "X", color=BLACK, markersize=8)
    ax.axvline(even, color=GREY, linewidth=0.8, linestyle=":")
    place = {"xytext": (10, -22), "textcoords": "offset points"}
    ax.annotate(
        f"equal at {even:.0f} data sets,\n{minutes:.0f} minutes", (even, minutes), va="top", **place
    )
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:,.0f}")
    ax.set(xlabel="data sets", ylabel="processor time [minutes]", ylim=(1.0, None))
    return plots.panels.legend_below(figure)
