"""The exact posterior, by tempered sequential Monte Carlo: for Germany twice, and for twenty simulated data sets.

Particles start from the amortized posterior, which is wider than the exact one but knows where it is, and move in the
coordinates in which it has fitted the data. For one of the runs for Germany they start from the prior, in plain ones.

With the regular noise alone. The published noise has atoms, where the exact posterior is another one than that which
any network can learn from simulations; see README.md.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import time
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
from bayesinn.plots.style import BLUE, ORANGE
from simulators.covid19 import germany
from simulators.covid19_prior import covid19_prior

NAME = "covid19_regular"
GERMANY_SEEDS, DATA_SETS, DATA_SEED = (1, 2), 20, 1
FROM_PRIOR = "germany_seed1"
KEPT_GERMANY, KEPT = 3_000, 2_000
DRAWS = 10_000
# A posterior, the folder of one for other processes, or the prior.
Start = bi.AmortizedPosterior | Path | None
_QUICK = {"particles": 100, "moves": 3, "most_moves": 3, "final_moves": 3, "ess": 0.05, "xla": False}


def run(study: Study) -> None:
    """Sample what isn't there yet, compare, draw figures."""
    jobs = [(f"germany_seed{seed}", germany(), seed, KEPT_GERMANY) for seed in GERMANY_SEEDS]
    # In quick mode a model that is there anyway stands in.
    name = "covid19" if study.quick else NAME
    simulations = bi.get(name).sample(DATA_SETS, seed=DATA_SEED)
    observables = tuple(bi.get(name).observable_shapes)
    jobs += [
        (f"simulated_{number:02d}", {key: simulations[key][number] for key in observables}, SEED, KEPT)
        for number in range(study.size(DATA_SETS, 1))
    ]
    folder = study.target / "exact_draws"
    folder.mkdir(exist_ok=True)
    posterior = study.posterior(name)
    start: Start = posterior
    if posterior is not None and study.jobs > 1 and not study.quick:
        start = HERE / FOLDERS[name]
    missing = [
        (*job, None if job[0] == FROM_PRIOR else start)
        for job in jobs
        if not _is_there(folder / f"{job[0]}.npz", job[1])
    ]
    _sample_all(name, missing, folder, study)
    truths = {
        f"simulated_{number:02d}": {key: simulations[key][number : number + 1] for key in GERMANY}
        for number in range(DATA_SETS)
    }
    _compare(study, posterior, {key: data for key, data, *_ in jobs}, truths, folder)


def _is_there(file: Path, data: Arrays) -> bool:
    """Whether there are draws for these data; those of other data are no use. Simulated counts differ by rounding."""
    if not file.is_file():
        return False
    with np.load(file) as arrays:
        return all(np.allclose(arrays[f"data_{name}"], value, rtol=1e-4, atol=1e-4) for name, value in data.items())


def germany_draws(study: Study) -> dict[str, np.ndarray] | None:
    """Exact draws for Germany of both runs together; None, with a message, where the stage hasn't run."""
    files = [study.target / "exact_draws" / f"germany_seed{seed}.npz" for seed in GERMANY_SEEDS]
    if not all(file.is_file() for file in files):
        print("  no exact draws for Germany yet: run --only exact; columns of the exact posterior are left out")
        return None
    runs = [_read(file)[0] for file in files]
    return {name: np.concatenate([draws[name] for draws in runs]) for name in GERMANY}


def _sample_all(name: str, jobs: list[tuple[str, Any, int, int, Start]], folder: Path, study: Study) -> None:
    settings = _QUICK if study.quick else {}
    if study.jobs == 1:
        for job in jobs:
            _note(job[0], sample(name, *job, folder, settings))
        return
    # For the workers, which are new processes: TensorFlow doesn't survive a fork.
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(study.jobs, context) as pool:
        futures = {pool.submit(sample, name, *job, folder, settings): job[0] for job in jobs}
        for future in as_completed(futures):
            _note(futures[future], future.result())


def _note(key: str, seconds: float) -> None:
    print(f"  {key}: {seconds / 60:.1f} minutes of processor time", flush=True)


def sample(
    name: str,
    key: str,
    data: dict[str, np.ndarray],
    seed: int,
    kept: int,
    start: Start,
    folder: Path,
    settings: dict[str, Any],
) -> float:
    """Draw from one posterior into a file; the seconds of processor time, compilation included where it was needed."""
    if isinstance(start, Path):
        start = _loaded(start)
    processor = time.process_time()
    result = bi.reference.tempered_smc(bi.get(name), data, start=start, seed=seed, progress=False, **settings)
    seconds = time.process_time() - processor
    draws = result.draws(kept, seed)
    # Whole or not at all: a file that is there is not drawn again.
    unfinished = folder / f"{key}.unfinished.npz"
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
    unfinished.replace(folder / f"{key}.npz")
    return seconds


@functools.cache
def _loaded(folder: Path) -> bi.AmortizedPosterior:
    """Once in a process, so that what is compiled for it serves all data sets."""
    return bi.load(folder)


def _read(file: Path) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Draws, and what is known about the run."""
    with np.load(file) as arrays:
        draws = {name: arrays[name] for name in GERMANY}
        return draws, {name[1:]: float(arrays[name]) for name in arrays.files if name.startswith("_")}


def _compare(
    study: Study, posterior: bi.AmortizedPosterior | None, data: dict[str, Any], truths: dict[str, Arrays], folder: Path
) -> None:
    runs = {key: _read(folder / f"{key}.npz") for key in data}
    rows, by_parameter = [], {}
    first, second = (runs[f"germany_seed{seed}"][0] for seed in GERMANY_SEEDS)
    between = by_parameter["between two exact runs for Germany"] = largest_differences(first, second)
    accuracy = bi.diagnostics.c2st(_matrix(first, study), _matrix(second, study), seed=SEED)
    chance = _by_chance(*(len(next(iter(side.values()))) for side in (first, second)))
    row = {"mean_ks": between.mean(), "worst_ks": between.max(), "ks_of_right_draws": chance, "c2st": accuracy}
    study.write(pd.DataFrame([row]), "exact_runs")
    if posterior is not None:
        for key, (exact, facts) in runs.items():
            draws = posterior.sample(data[key], draws=study.size(DRAWS, 100), seed=SEED)
            differences = by_parameter[key] = largest_differences(draws, exact)
            sds = {name: values.std() for name, values in exact.items()}
            shifts = pd.Series({name: (draws[name].mean() - exact[name].mean()) / sds[name] for name in exact})
            ratios = pd.Series({name: draws[name].std() / sds[name] for name in exact})
            gap = truth_in_exact = truth_in_ours = None
            if key in truths:
                truth_in_exact, truth_in_ours = (_distance(truths[key], side) for side in (exact, draws))
                ours = float(np.ravel(posterior.log_prob(truths[key], data[key]))[0])
                gap = _log_density(posterior.simulator, truths[key], data[key], facts) - ours
            rows.append(
                {
                    "data": key,
                    "mean_ks": differences.mean(),
                    "worst_ks": differences.max(),
                    "worst_parameter": differences.idxmax(),
                    "ks_of_right_draws": _by_chance(len(next(iter(exact.values()))), study.size(DRAWS, 100)),
                    "c2st": bi.diagnostics.c2st(*(_matrix(side, study) for side in (draws, exact)), seed=SEED),
                    "nats_short_at_truth": gap,
                    "truth_rms_sds_exact": truth_in_exact,
                    "truth_rms_sds_ours": truth_in_ours,
                    "mean_shift_sds": shifts.abs().mean(),
                    "worst_shift_sds": shifts.abs().max(),
                    "smallest_sd_ratio": ratios.min(),
                    "largest_sd_ratio": ratios.max(),
                    "out_of_distribution_p": float(draws.p_value),
                    **facts,
                }
            )
        study.write(pd.DataFrame(rows), "exact")
    table = pd.DataFrame(by_parameter).rename_axis("parameter").reset_index()
    table.to_csv(study.target / "exact_by_parameter.csv", index=False, float_format="%.4g")
    _amortization(study, posterior, [facts for _, facts in runs.values()])


def _distance(truth: Arrays, draws: Arrays) -> float:
    """Root mean square distance of the true parameters from the mean of draws, in their standard deviations.

    About one, if the draws are of the posterior; it asks nothing of another sampler.
    """
    distances = [(float(np.ravel(truth[name])[0]) - draws[name].mean()) / draws[name].std() for name in GERMANY]
    return float(np.sqrt(np.mean(np.square(distances))))


def _log_density(simulator: bi.Simulator, truth: Arrays, data: Arrays, facts: dict[str, float]) -> float:
    """Exact log density of the true parameters: likelihood times the prior of what is feasible, over the evidence."""
    prior = covid19_prior(options_of(simulator.name))
    log_prior = sum(float(np.ravel(distribution.log_prob(truth[name]))[0]) for name, distribution in prior.items())
    log_likelihood = float(simulator.log_likelihood(truth, data)[0])
    return log_likelihood + log_prior - np.log(facts["finite_share"]) - facts["log_evidence"]


def _matrix(draws: Arrays, study: Study) -> np.ndarray:
    """As many draws as all exact runs kept, (n, parameters)."""
    return np.stack([draws[name][: study.size(KEPT, 50)] for name in GERMANY], axis=-1)


def _by_chance(first: int, second: int) -> float:
    """Mean of the statistic for draws of the same law: that of Kolmogorov's distribution, sqrt(pi / 2) log 2."""
    return float(np.sqrt(np.pi / 2) * np.log(2) * np.sqrt(1 / first + 1 / second))


def _amortization(study: Study, posterior: bi.AmortizedPosterior | None, facts: list[dict[str, float]]) -> None:
    """Minutes of processor time against the number of data sets."""
    if posterior is None or "processor_minutes" not in posterior.training:
        return
    each = float(np.median([fact["processor_seconds"] for fact in facts])) / 60
    posterior.sample(germany(), draws=study.size(DRAWS, 100), seed=SEED)
    started = time.process_time()
    posterior.sample(germany(), draws=study.size(DRAWS, 100), seed=SEED + 1)
    ours = (time.process_time() - started) / 60
    training = float(posterior.training["processor_minutes"])
    row = {"training_minutes": training, "amortized_minutes_each": ours, "exact_minutes_each": each}
    study.write(pd.DataFrame([row | {"break_even_data_sets": training / (each - ours)}]), "amortization")
    counts = np.geomspace(1, 1_000, 50)
    figure = Figure(figsize=(6, 4), layout="constrained")
    ax = figure.add_subplot()
    ax.loglog(counts, training + ours * counts, color=BLUE, label="amortized, training included")
    ax.loglog(counts, each * counts, color=ORANGE, label="exact, tempered SMC")
    ax.set(xlabel="data sets", ylabel="processor time [minutes]")
    ax.legend(frameon=False)
    plots.save(figure, study.target / "amortization.png")
