"""How training went: the held-out negative log density, from the tables of train.py and of the saved posteriors."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from shared import LABELS, Study
from train import HELD_OUT, HELD_OUT_SEED

import bayesinn as bi
from bayesinn import plots
from bayesinn.plots.style import BLACK, BLUE, ORANGE

_COLOURS = dict(zip(LABELS, (BLUE, ORANGE, BLACK), strict=True))


def run(study: Study) -> None:
    """Draw all curves that are there, and check the saved posteriors once more."""
    posteriors = study.posteriors(*LABELS)
    if posteriors:
        rows = [{"simulator": name, **_held_out(posterior, study)} for name, posterior in posteriors.items()]
        study.write(pd.DataFrame(rows), "held_out")
    files = {name: study.target / f"history_{name}.csv" for name in LABELS}
    histories = {name: pd.read_csv(file) for name, file in files.items() if file.is_file()}
    if not histories:
        print("  no history of training: run train.py first")
        return
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    ax = figure.add_subplot()
    for name, history in histories.items():
        ax.plot(history["minutes"], history["held_out_nll"], ".-", color=_COLOURS[name], label=LABELS[name])
        print(
            f"  {LABELS[name]}: {history['held_out_nll'].iloc[-1]:.3f} after {history['minutes'].iloc[-1]:.1f} minutes"
        )
    lowest = min(history["held_out_nll"].min() for history in histories.values())
    highest = max(history["held_out_nll"].iloc[0] for history in histories.values()) + 1.0
    ax.set(xlabel="minutes of training", ylabel="held-out negative log density [nats]")
    ax.set_ylim(lowest - 0.05 * (highest - lowest), highest)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    plots.save(figure, study.target / "training.png")


def _held_out(posterior: bi.AmortizedPosterior, study: Study) -> dict[str, float]:
    """Of the simulations that were held out in training, too."""
    simulator = posterior.simulator
    simulations = simulator.sample(study.size(HELD_OUT, 100), seed=HELD_OUT_SEED)
    parameters = {name: simulations[name] for name in simulator.prior.names}
    data = {name: value for name, value in simulations.items() if name not in parameters}
    values = posterior.log_prob(parameters, data)
    return {"held_out_nll": -float(values.mean()), "standard_error": float(values.std() / np.sqrt(len(values)))}
