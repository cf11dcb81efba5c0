"""Whether a training has converged, as far as its losses tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

#: Steps without which nothing is learned, whatever the losses are.
FEWEST_STEPS = 50
# Epochs without which nothing can be told, and the share of the steps that is left out: warm-up and
# the first steep fall, of which no law holds.
_FEWEST_EPOCHS = 10
_LEFT_OUT = 0.2
# Of the fall over the other epochs, what a falling learning rate makes by itself, a priori:
# zero, with this standard deviation.
_ANNEALING = 0.15
# What twice the training may gain: so many nats for each number of an event, half of what the
# verdict tolerates, and so much of the fall since the start.
_TOLERANCE = 0.05
_SHARE = 0.01
# Of more, the law says nothing.
_MOST_TIMES = 20.0


def what_is_missing(
    rows: Sequence[Mapping[str, float | None]],
    seconds_per_step: float,
    cut: bool = False,
    numbers: int = 1,
) -> str:
    """Say what a training lacks, from a row for each epoch; nothing where that can't be told.

    A training that time has ``cut`` after a few steps has learned nothing.

    After so many steps, S learning rates have been added up, and the loss is about

        a + b / S + c * (learning rate),

    where b is what is left to learn and c the noise of large steps, which ends as the learning rate
    falls: late in a schedule that ends at zero, losses are flat whether or not anything is left to
    learn, so that their slope alone tells nothing. While the learning rate falls, both terms do; c
    gets a prior, so that few noisy epochs don't explain all by it. Twice the training gains half of
    b / S. Measured: ``sir`` after 100, 300 and 1,000 steps gains .3, .2 and .1 nats (truly .5, .2
    and .1), ``linear`` after 100 and more steps less than .04.
    """
    steps = int(rows[-1]["step"] or 0) if rows else 0
    if steps < FEWEST_STEPS:
        text = f"Training is not finished: time ended it after {steps:,} steps, too few to learn."
        return text if cut else ""
    name = "val_loss" if rows[-1].get("val_loss") is not None else "loss"
    step, loss, rate = (
        np.array([row.get(key) for row in rows], float) for key in ("step", name, "learning_rate")
    )
    kept = (step > _LEFT_OUT * steps) & np.isfinite(loss)
    if len(rows) < _FEWEST_EPOCHS or kept.sum() < 0.5 * len(rows) or not rate.max() > 0.0:
        return ""
    path = np.cumsum(rate * np.diff(step, prepend=0.0))
    design = np.stack([np.ones(len(rows)), path[-1] / path, rate / rate.max()], axis=1)[kept]
    target = loss[kept]
    few = max(len(target) // 8, 2)
    fall = max(float(target[:few].mean() - target[-few:].mean()), 1e-9)
    free = len(target) - design.shape[1]
    residual = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    variance = max(float(residual @ residual) / free, 1e-12 * fall**2)
    prior = np.diag([0.0, 0.0, variance / (_ANNEALING * fall) ** 2])
    covariance = np.linalg.inv(design.T @ design + prior)
    left = float((covariance @ (design.T @ target))[1])
    error = math.sqrt(variance * covariance[1, 1])
    start = float(np.median(loss[: max(len(rows) // 10, 1)]))
    allowed = _TOLERANCE * numbers + _SHARE * max(start - float(target[-few:].mean()), 0.0)
    if 0.5 * left < allowed or left < 2.0 * error:
        return ""
    seconds = (min(left / allowed, _MOST_TIMES) - 1.0) * steps * seconds_per_step
    more = f" About {_round(seconds)} more are needed." if seconds > 0.0 else ""
    return (
        f"Training is not finished: the loss still fell after {steps:,} steps, by about "
        f"{0.5 * left:.2g} in as many steps more.{more}"
    )


def _round(seconds: float) -> str:
    """Write a duration for people, as a guess: with one or two digits."""
    if seconds < 100.0:
        return f"{float(f'{max(seconds, 1.0):.1g}'):.0f} seconds"
    minutes = float(f"{seconds / 60.0:.2g}")
    return f"{minutes:.0f} minutes" if minutes < 120.0 else f"{minutes / 60.0:.1f} hours"
