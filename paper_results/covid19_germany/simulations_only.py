"""Two networks that learn from simulations alone, without a fit of the model, for equal times.

    python paper_results/covid19_germany/simulations_only.py {plain,published}
            [--minutes M] [--evaluate] [--quick]

``plain`` is a Conv + LSTM and eight affine couplings; ``published`` the network of Radev et al.
(2021) with its own recipe: batches of 64, Adam at 5e-4 that falls by 1 % every 1,000 steps, no
average of the weights. Both see the regular noise, for which exact draws are stored. Trains for M
minutes of processor time (55 if left out) and writes a row of ``simulations_only.csv`` beside this
file; the posterior of ``plain`` stays in ``posterior_plain``, that of ``published``, which is
large, in ``runs/covid19_germany``. ``--evaluate`` writes the row of a posterior that is there.
Beside them stands our posterior that fits the model, from the tables that run.py has written.
``--quick`` trains for a few steps, to check that it runs, and writes nothing that stays.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from calibration import ranked
from exact import NAME, against_exact, data_sets, stored_runs
from likelihoods import DATA_SETS, DRAWS, quartiles
from networks import NETWORKS, arguments, train_for
from shared import LABELS as STUDY_LABELS, Study
from train import HELD_OUT, HELD_OUT_SEED, HERE, save

import bayesinn as bi

RUNS = HERE.parents[1] / "runs" / HERE.name
FOLDERS = {
    "plain": HERE / "posterior_plain",
    "published": RUNS / "posterior_published",
}
LABELS = {
    "plain": "reproduction (simulations only)",
    "published": "published network, own recipe",
    "fitted": "ours, with a fit of the model",
}
KEYS = {
    "plain": "Conv + LSTM with stride 3, 8 affine couplings",
    "published": "published: three multi-kernel Conv + LSTM, 6 affine couplings",
}
CHECKS = 10


def main() -> None:
    """Train one of them, save it, write its row."""
    parser = arguments(__doc__, minutes=55.0)
    parser.add_argument("name", choices=FOLDERS)
    parser.add_argument(
        "--evaluate", action="store_true", help="the posterior that is there, without training"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = Study(Path(folder) if given.quick else HERE, given.quick)
        if given.evaluate:
            posterior = bi.load(FOLDERS[given.name])
        else:
            kept = Path(folder) if given.quick else RUNS / given.name
            posterior = train(given.name, given.minutes, kept, given.quick)
            history = pd.read_csv(kept / f"{NAME}.csv")
            history.to_csv(
                study.target / f"history_{given.name}.csv", index=False, float_format="%.5g"
            )
            if not given.quick:
                save(posterior, FOLDERS[given.name])
        row = {"posterior": LABELS[given.name], **evaluate(posterior, study)}
        file = HERE / "simulations_only.csv"
        rows = {}
        if file.is_file() and not given.quick:
            rows = {other["posterior"]: other for other in pd.read_csv(file).to_dict("records")}
        rows |= {row["posterior"]: row, LABELS["fitted"]: fitted()}
        study.write(
            pd.DataFrame([rows[label] for label in LABELS.values() if label in rows]),
            "simulations_only",
        )


def train(name: str, minutes: float, folder: Path, quick: bool) -> bi.AmortizedPosterior:
    """Train for given minutes of processor time; save checkpoints and held-out densities.

    They are saved in the folder.
    """
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    options, batch_size = recipe(name)
    posterior, found = train_for(
        minutes,
        bi.get_simulator(NAME),
        NETWORKS[KEYS[name]],
        folder,
        quick=quick,
        options=options,
        batch_size=batch_size,
        checks=CHECKS,
        checkpoint=folder / "checkpoint",
    )
    posterior.training["processor_minutes"] = round(found["processor_minutes"], 2)
    return posterior


def recipe(name: str) -> tuple[dict[str, Any], int]:
    """Options of training, and the size of a batch."""
    if name == "plain":
        return {"learning_rate": 2e-3, "xla": False}, 256
    rate = keras.optimizers.schedules.ExponentialDecay(
        5e-4, decay_steps=1_000, decay_rate=0.99, staircase=True
    )
    return {
        "optimizer": keras.optimizers.Adam(rate),
        "clip_norm": 5.0,
        "average": 0.0,
        "xla": False,
    }, 64


def evaluate(posterior: bi.AmortizedPosterior, study: Study) -> dict[str, Any]:
    """Measure density, calibration, distance from exact draws, and cost.

    The other posteriors of the study are asked the same.
    """
    held_out = posterior.simulator.sample(study.size(HELD_OUT, 200), seed=HELD_OUT_SEED)
    data = {key: held_out[key] for key in posterior.simulator.observable_shapes}
    truth = {key: value for key, value in held_out.items() if key not in data}
    losses = -posterior.log_prob(truth, data)
    ranks, covered = ranked(posterior, study)
    errors = 100.0 * np.abs(covered.empirical - covered.nominal[:, None])
    settings = posterior.training["settings"]
    row = {
        "processor_minutes": posterior.training["processor_minutes"],
        "steps": settings["steps"],
        "simulations": settings["steps"] * settings["batch_size"] // max(settings["passes"], 1),
        "held_out_nll": losses.mean(),
        "standard_error": losses.std() / np.sqrt(len(losses)),
        "inside_99_band": f"{int(ranks.inside.sum())} of {len(ranks.inside)}",
        "largest_coverage_error_points": errors.max(),
    }
    found = pd.DataFrame(distances(posterior, study)).T.astype(float)
    german = found.loc["germany"]
    simulated = found.drop(index="germany")
    row |= {
        "Germany: mean KS": german["mean_ks"],
        "Germany: C2ST": german["c2st"],
        "20 data sets: mean KS": simulated["mean_ks"].mean(),
        "20 data sets: median KS": simulated["mean_ks"].median(),
        "20 data sets: C2ST": simulated["c2st"].mean(),
        "nats short at the truth": simulated["nats_short_at_truth"].mean(),
        "out_of_distribution_p": german["out_of_distribution_p"],
    }
    explained = quartiles(posterior, study.size(DATA_SETS, 10), study.size(DRAWS, 20))
    return row | {"log likelihood, truth minus draws: median": explained["median"]}


def fitted() -> dict[str, Any]:
    """The same of our posterior with the regular noise, from the tables beside this file."""
    tables = {
        name: pd.read_csv(HERE / f"{name}.csv")
        for name in ("calibration_summary", "exact_summary", "exact")
    }
    history = pd.read_csv(HERE / f"history_{NAME}.csv").iloc[-1]
    calibrated = tables["calibration_summary"].set_index("posterior").loc[STUDY_LABELS[NAME]]
    german, simulated = (row for _, row in tables["exact_summary"].iterrows())
    row = {
        "posterior": LABELS["fitted"],
        "processor_minutes": history["processor_minutes"],
        "steps": int(history["step"]),
        "simulations": int(history["simulations"]),
        "held_out_nll": history["held_out_nll"],
        "standard_error": history["standard_error"],
        "inside_99_band": calibrated["inside_99_band"],
        "largest_coverage_error_points": calibrated["largest_coverage_error_points"],
        "Germany: mean KS": german["mean KS"],
        "Germany: C2ST": german["C2ST"],
        "20 data sets: mean KS": simulated["mean KS"],
        "20 data sets: median KS": simulated["median KS"],
        "20 data sets: C2ST": simulated["C2ST"],
        "nats short at the truth": simulated["nats short"],
        "out_of_distribution_p": tables["exact"]["out_of_distribution_p"][0],
    }
    explained = HERE / "likelihoods.csv"
    if explained.is_file():
        row["log likelihood, truth minus draws: median"] = pd.read_csv(explained)["median"][0]
    return row


def distances(posterior: bi.AmortizedPosterior, study: Study) -> dict[str, dict[str, float]]:
    """How far it is from the exact draws of each data set that were stored."""
    data, truths = data_sets(study.size(20, 1))
    result = {}
    for key, observation in data.items():
        runs = stored_runs(HERE / "exact_draws", key, observation)
        row, _, _ = against_exact(posterior, observation, runs, truths.get(key), study)
        result[key] = {name: value for name, value in row.items() if name != "worst_parameter"}
    return result


if __name__ == "__main__":
    main()
