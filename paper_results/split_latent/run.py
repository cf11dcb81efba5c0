"""Inverse kinematics with the split-latent network, beside a conditional flow at about equal time.

The time is that of training.

    python paper_results/split_latent/run.py [--quick] [--processes N]

Writes results.csv and arms.png beside this file. ``--quick`` trains for a few steps and writes
nothing that stays.
"""

from __future__ import annotations

import os

# One thread for each network, so that training times can be compared.
os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.spatial import distance

import bayesinn as bi
from bayesinn import bijections, flows, plots
from bayesinn.flows.split_latent.losses import SplitLosses
from bayesinn.inverse.split_latent import SplitLatent, default_chain
from bayesinn.simulators import inverse_kinematics as kinematics

Draws = dict[str, np.ndarray]

SEED = 1
OBSERVATIONS = 100
DRAWS = 1_000
EXACT = "exact posterior"
AGAIN = "exact posterior, drawn again"
PRIOR = "prior"
# Meant for about 200 seconds of one core each; what they took is in results.csv.
STEPS = {
    "split latent, MMD": 5_000,
    "split latent, likelihood": 20_000,
    "conditional spline flow": 10_000,
}
LEARNING_RATE = 3e-3
# Scales h of the kernels of the posterior error, in the parameters' own units (README.md).
KERNEL = (0.05, 0.2, 0.9)


def main() -> None:
    """Train, compare with exact posteriors, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--processes", type=int, default=len(STEPS), help="how many networks train at a time"
    )
    arguments = parser.parse_args()
    quick = arguments.quick
    hands = kinematics.inverse_kinematics.sample(4 if quick else OBSERVATIONS, seed=SEED + 1)[
        "hand"
    ]
    # The last is the one in the papers' figures.
    hands = np.concatenate([hands, kinematics.inverse_kinematics.observed["hand"][None]]).astype(
        np.float32
    )
    draws = 100 if quick else DRAWS
    exact = exact_draws(hands, draws, SEED)
    prior = kinematics.inverse_kinematics.sample(draws, seed=SEED + 2)
    answers = {
        EXACT: exact,
        AGAIN: exact_draws(hands, draws, SEED + 1),
        PRIOR: {name: np.tile(prior[name], (len(hands), 1)) for name in kinematics.NAMES},
    }
    seconds = {}
    with joblib.Parallel(n_jobs=1 if quick else arguments.processes) as parallel:
        trained = parallel(
            joblib.delayed(answer)(name, steps, hands, draws, quick)
            for name, steps in STEPS.items()
        )
    for name, (values, used) in zip(STEPS, trained, strict=True):
        answers[name] = values
        seconds[name] = used
    rows = [
        {"draws from": name, **errors(values, exact, hands), "core seconds": seconds.get(name)}
        for name, values in answers.items()
        if name != EXACT
    ]
    results = pd.DataFrame(rows).set_index("draws from")
    print(results.to_string(float_format="%.3g"))
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if quick else Path(__file__).parent
        results.to_csv(target / "results.csv", float_format="%.3g")
        shown = {name: answers[name] for name in (EXACT, *STEPS)}
        plots.save(
            arms({name: one(values, -1) for name, values in shown.items()}, hands[-1]),
            target / "arms.png",
        )


def networks(quick: bool) -> dict[str, Callable[[], bi.AmortizedPosterior]]:
    """What is compared: all with couplings of equal subnets."""
    split = 1 if quick else 8
    whole = 1 if quick else 6
    hidden = (64, 64)
    zoom = bijections.Composed([bijections.Affine(), bijections.Spline()])
    noise = SplitLosses(observable_noise=0.02, padding_noise=0.1)
    return {
        "split latent, MMD": lambda: SplitLatent(
            kinematics.inverse_kinematics, chain=default_chain(split, hidden)
        ),
        "split latent, likelihood": lambda: SplitLatent(
            kinematics.inverse_kinematics,
            width=8,
            chain=default_chain(split, hidden),
            objective="likelihood",
            losses=noise,
        ),
        "conditional spline flow": lambda: bi.AmortizedPosterior(
            kinematics.inverse_kinematics,
            flow=flows.coupling(whole, hidden, zoom),
        ),
    }


def answer(
    name: str, steps: int, hands: np.ndarray, draws: int, quick: bool
) -> tuple[Draws, float]:
    """Train a network; return each parameter's draws (observations, draws), and its seconds.

    These are seconds of one core.
    """
    started = time.process_time()
    posterior = networks(quick)[name]()
    posterior.fit(
        steps=20 if quick else steps,
        batch_size=500,
        seed=SEED,
        optimization=bi.Optimization(learning_rate=LEARNING_RATE),
        progress=False,
    )
    used = time.process_time() - started
    return dict(posterior.sample({"hand": hands}, draws=draws, seed=SEED)), used


def exact_draws(hands: np.ndarray, draws: int, seed: int) -> Draws:
    """Draws (observations, draws) from the exact posterior of each hand."""
    sets = [
        kinematics.exact({"hand": hand}, draws, seed + 10 * index)
        for index, hand in enumerate(hands)
    ]
    return {name: np.stack([values[name] for values in sets]) for name in kinematics.NAMES}


def errors(values: Draws, exact: Draws, hands: np.ndarray) -> dict[str, float]:
    """Means over all observations but the last, and their standard errors."""
    posterior = [
        squared_mmd(one(values, index), one(exact, index)) for index in range(len(hands) - 1)
    ]
    simulated = [resimulation(one(values, index), hands[index]) for index in range(len(hands) - 1)]
    return {
        "posterior error": np.mean(posterior),
        "its standard error": np.std(posterior) / np.sqrt(len(posterior)),
        "re-simulation error": np.mean(simulated),
        "its median": np.median(simulated),
    }


def squared_mmd(first: Draws, second: Draws) -> float:
    """Unbiased MMD^2 with inverse multiquadratic kernels."""
    a, b = (
        np.column_stack([draws[name] for name in kinematics.NAMES]) for draws in (first, second)
    )

    def kernel(squared: np.ndarray) -> np.ndarray:
        return sum(1.0 / (1.0 + squared / scale**2) for scale in KERNEL)

    within = [np.mean(kernel(distance.pdist(points, "sqeuclidean"))) for points in (a, b)]
    return float(sum(within) - 2.0 * np.mean(kernel(distance.cdist(a, b, "sqeuclidean"))))


def resimulation(draws: Draws, hand: np.ndarray) -> float:
    """Mean squared distance of the hands of draws from the hand that was given."""
    return float(np.mean(np.sum((kinematics.joints(draws)[:, -1] - hand) ** 2, axis=-1)))


def one(values: Draws, index: int) -> Draws:
    """Draws (draws,) of one observation."""
    return {name: value[index] for name, value in values.items()}


@plots.style.styled
def arms(answers: dict[str, Draws], hand: np.ndarray, shown: int = 150) -> Figure:
    """The arms of some draws of each answer, with the hand that was given."""
    figure = Figure(figsize=(7.4, 3.0), layout="constrained")
    axes = figure.subplots(1, len(answers), sharex=True, sharey=True)
    for ax, (name, draws) in zip(axes, answers.items(), strict=True):
        positions = kinematics.joints({key: value[:shown] for key, value in draws.items()})
        ax.plot(*positions.transpose(2, 1, 0), color=plots.style.BLUE, alpha=0.12, linewidth=0.8)
        ax.scatter(
            *positions[:, 0].T, s=6, color=plots.style.BLACK, linewidths=0, alpha=0.5, zorder=3
        )
        ax.scatter(
            *positions[:, -1].T, s=6, color=plots.style.RED, linewidths=0, alpha=0.5, zorder=3
        )
        ax.axvline(hand[0], color=plots.style.GREY, linewidth=0.6, zorder=0)
        ax.axhline(hand[1], color=plots.style.GREY, linewidth=0.6, zorder=0)
        ax.set_title(plots.text.wrapped(name, 1.6, 9.5), fontsize=9.5)
        ax.set(xlim=(-0.35, 2.25), ylim=(-1.3, 1.3), aspect="equal", xlabel="a")
    axes[0].set_ylabel("b")
    return figure


if __name__ == "__main__":
    main()
