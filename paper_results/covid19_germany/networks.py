"""Compare networks for the Covid-19 model at equal processor time.

    python paper_results/covid19_germany/networks.py [--minutes M] [--only TEXT] [--quick]

Each is trained on the regular variant, from the same seed, for as many steps as take M minutes of
processor time (3 if left out) and with its learning rate fading over these. Writes ``networks.csv``
beside this file: the negative log density of the true parameters of 4,000 held-out simulations, and
what it took. ``--only`` trains those whose name contains TEXT; the others keep the rows of an
earlier run. ``--quick`` trains each for a few steps, to check that it runs, and writes nothing that
stays.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from train import EPOCHS, HELD_OUT, HERE, SEED, HeldOut

import bayesinn as bi
from bayesinn.bijections import Affine, Composed, Spline
from bayesinn.flows import Flow, coupling
from bayesinn.simulators.covid19_count_series import CountSeries
from bayesinn.simulators.covid19_networks import lean_networks, published_networks
from bayesinn.simulators.covid19_options import Covid19Options
from bayesinn.summaries import MLP, ConvLSTM, Summary
from bayesinn.training.train import StepClock

NAME = "covid19_regular"
TOGETHER = "confirmed, recovered, deaths"
TIMED_STEPS = 60
TIMED_EPOCHS = 3
HIDDEN = (192, 192)
# Without scoring steps, which take a minute or two to trace.
QUICK = "CountSeries, 1 spline and 7 affine couplings"
# As the simulator recommends, where the others have new simulations at each step.
PASSES = "lean, four passes through simulations that are fitted once"

Networks = tuple[dict[str, Summary], Flow]


def _affine() -> Flow:
    return coupling(blocks=8, hidden=HIDDEN)


NETWORKS: dict[str, Callable[[], Networks]] = {
    "published: three multi-kernel Conv + LSTM, 6 affine couplings": published_networks,
    "Conv + LSTM with stride 3, 8 affine couplings": lambda: (
        {TOGETHER: ConvLSTM(96, filters=(64, 64), kernel_size=3, stride=3, lstm_units=96)},
        _affine(),
    ),
    "perceptron, 8 affine couplings": lambda: ({TOGETHER: MLP(128, hidden=(512, 512))}, _affine()),
    "perceptron, 4 couplings of affine map and spline": lambda: (
        {TOGETHER: MLP(128, hidden=(512, 512))},
        coupling(blocks=4, hidden=HIDDEN, transform=Composed([Affine(), Spline()])),
    ),
    "CountSeries, 8 affine couplings": lambda: (
        {TOGETHER: CountSeries(128, hidden=(512, 512))},
        _affine(),
    ),
    QUICK: lambda: lean_networks(Covid19Options(), fits=False),
    "lean: the same, and a fit of the model": lambda: lean_networks(Covid19Options()),
    PASSES: lambda: lean_networks(Covid19Options()),
}


def main() -> None:
    """Train all, write the table."""
    parser = arguments(__doc__, minutes=3.0)
    parser.add_argument("--only", default="", metavar="TEXT")
    given = parser.parse_args()
    chosen = [QUICK] if given.quick else [name for name in NETWORKS if given.only in name]
    if not chosen:
        parser.error(f"--only {given.only!r} is in none of {list(NETWORKS)}")
    rows: dict[str, dict[str, Any]] = {}
    if len(chosen) < len(NETWORKS) and (HERE / "networks.csv").is_file() and not given.quick:
        rows = {
            row["networks"]: row for row in pd.read_csv(HERE / "networks.csv").to_dict("records")
        }
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if given.quick else HERE
        for name in chosen:
            simulator = bi.get_simulator(NAME)
            options = {}
            if name == PASSES:
                options = {
                    key: getattr(simulator.recommended, key) for key in ("passes", "learning_rate")
                }
            _, found = train_for(
                given.minutes,
                simulator,
                NETWORKS[name],
                Path(folder),
                quick=given.quick,
                options=options,
            )
            rows[name] = {"networks": name, **found}
            print(pd.DataFrame([rows[name]]).to_string(index=False), flush=True)
            table = pd.DataFrame([rows[name] for name in NETWORKS if name in rows])
            table.to_csv(target / "networks.csv", index=False, float_format="%.4g")


def arguments(text: str, minutes: float) -> argparse.ArgumentParser:
    """The options of a script that trains several networks, a number of minutes each.

    Its text describes them.
    """
    parser = argparse.ArgumentParser(description=text.partition("\n")[0])
    parser.add_argument(
        "--minutes", type=float, default=minutes, help="of processor time, for each"
    )
    parser.add_argument("--quick", action="store_true")
    return parser


def train_for(
    minutes: float,
    simulator: bi.Simulator,
    make: Callable[[], Networks],
    folder: Path,
    *,
    quick: bool,
    options: Mapping[str, Any] | None = None,
    batch_size: int = 256,
    checks: int = 1,
    checkpoint: Path | None = None,
) -> tuple[bi.AmortizedPosterior, dict[str, float]]:
    """Time some steps, then train anew for as many as fit into so many minutes of processor time.

    Parameters
    ----------
    minutes : float
    simulator : Simulator
    make : callable, gives new summaries and a new flow
    folder : Path
    quick : bool
    options : dict
        Of :class:`bayesinn.Optimization`; new simulations at each step by default. A learning rate
        of 2e-3,.
        if there are none.
    batch_size : int
    checks : int, how often :class:`HeldOut` looks, beside the first
    checkpoint : folder for the state of the training

    Returns
    -------
    posterior : AmortizedPosterior found : dict
        Milliseconds of processor time per step, and the last row of what :class:`HeldOut` found.
    """
    settings: dict[str, Any] = {
        "batch_size": 32 if quick else batch_size,
        "seed": SEED,
        "progress": False,
    }
    optimization = bi.Optimization(**{"passes": 0, **(options or {"learning_rate": 2e-3})})
    steps = 2
    milliseconds = math.nan
    if not quick:
        timed = bi.AmortizedPosterior(simulator, *make())
        clock = StepClock(time.process_time)
        timed.fit(
            steps=TIMED_STEPS,
            epochs=TIMED_EPOCHS,
            optimization=replace(optimization, callbacks=[clock]),
            **settings,
        )
        steps = int(60 * minutes / clock.seconds_per_step)
        milliseconds = 1e3 * clock.seconds_per_step
    size = HELD_OUT // 20 if quick else HELD_OUT
    held_out = HeldOut(simulator, folder / f"{simulator.name}.csv", size, checks=checks)
    summary, flow = make()
    if quick:
        # Most of the time would be to trace the other blocks.
        flow = coupling(blocks=1, hidden=(32,))
    posterior = bi.AmortizedPosterior(simulator, summary, flow)
    optimization = replace(optimization, callbacks=[held_out])
    posterior.fit(
        steps=steps, epochs=EPOCHS, optimization=optimization, checkpoint=checkpoint, **settings
    )
    last = held_out.frame().iloc[-1]
    wanted = ("step", "processor_minutes", "held_out_nll", "standard_error")
    return posterior, {"ms_per_step": milliseconds, **{name: float(last[name]) for name in wanted}}


if __name__ == "__main__":
    main()
