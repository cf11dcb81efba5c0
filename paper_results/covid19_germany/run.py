"""The first wave of Covid-19 in Germany: published, ours, and exact.

    python paper_results/covid19_germany/run.py [--only STAGE ...] [--data FOLDER]
                                                [--jobs N] [--quick]

Regenerates results beside this file from the posteriors that train.py has saved here; networks.py,
ablations.py and simulations_only.py write theirs. A stage takes minutes, but for ``exact``: it
draws from the exact posteriors of the German counts and of twenty simulated data sets, of some
twice, some minutes of a core each. It keeps what it has drawn and continues from there. ``make
numbers`` then puts the results into README.md. ``--quick`` trains tiny posteriors, runs every stage
at a tiny size and writes nothing that stays.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import calibration
import exact
import forecast
import germany
import likelihoods
import states
import states_exact
import training
from shared import Study
from train import HERE, QUICK_STEPS, small_posterior, train

import bayesinn as bi

# The exact draws first: the other stages compare with them.
STAGES = {
    "training": training.run,
    "exact": exact.run,
    "germany": germany.run,
    "calibration": calibration.run,
    "forecast": forecast.run,
    "likelihoods": likelihoods.run,
    "states": states.run,
    "states_exact": states_exact.run,
}


def main() -> None:
    """Run stages."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--only",
        nargs="+",
        choices=STAGES,
        default=list(STAGES),
        metavar="STAGE",
        help=", ".join(STAGES),
    )
    parser.add_argument("--data", type=Path, help="folder with the counts of the federal states")
    parser.add_argument("--jobs", type=int, default=1, help="processes for exact draws")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = Study(Path(folder) if given.quick else HERE, given.quick, given.data, given.jobs)
        if given.quick:
            train_small(study, Path(folder))
        for name, stage in STAGES.items():
            if name in given.only:
                print(f"{name}:", flush=True)
                started = time.monotonic()
                stage(study)
                print(f"  {name} took {time.monotonic() - started:.0f} s", flush=True)


def train_small(study: Study, folder: Path) -> None:
    """Posteriors for the quick mode: one trained as in earnest, one on a few saved simulations."""
    posterior, history = train(bi.get_simulator("covid19"), None, folder / "checkpoint", quick=True)
    history.to_csv(folder / "history_covid19.csv", index=False)
    study.trained |= {"covid19": posterior}
    if study.data is not None:
        states_posterior = small_posterior(bi.get_simulator("covid19_states"))
        simulations = states_posterior.simulator.sample(256, seed=1)
        states_posterior.fit(simulations, steps=QUICK_STEPS, batch_size=64, seed=1, progress=False)
        study.trained |= {"covid19_states": states_posterior}


if __name__ == "__main__":
    main()
