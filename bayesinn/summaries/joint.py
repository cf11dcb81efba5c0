"""Several observables as input of one summary network."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from bayesinn.summaries.elements import with_features
from bayesinn.summaries.summary import Summary


def joint_name(observables: Sequence[str]) -> str:
    """Return the key of a network for these observables: their names, with commas between them."""
    return ", ".join(observables)


def observables_of(name: str) -> list[str]:
    """Return the observables that a network with this key sees."""
    return [part.strip() for part in name.split(",")]


def seen_raw(summaries: Mapping[str, Summary]) -> list[str]:
    """Return the observables that networks need as the simulator gave them, not standardised."""
    return [
        name
        for key, summary in summaries.items()
        if not summary.standardised
        for name in observables_of(key)
    ]


def scaled_alike(summaries: Mapping[str, Summary]) -> list[str]:
    """Return what has one mean and scale for all steps, as networks ask: observables and times."""
    names = []
    for key, summary in summaries.items():
        if summary.alike:
            names += [*observables_of(key), str(summary.times)]
    return names


def masked_gaps(summaries: Mapping[str, Summary], at_random: bool) -> dict[str, list[str]]:
    """Return, by observable, those that have no value at a step which its network leaves out.

    ``at_random`` says that values are missing by chance alone. If not, the time of a step without
    values tells something, where each step has its own.
    """
    found: dict[str, list[str]] = {}
    for key, summary in summaries.items():
        if summary.gaps and (at_random or summary.times is None):
            seen = [name for name in observables_of(key) if name != summary.times]
            found |= dict.fromkeys(observables_of(key), seen)
    return found


def side_by_side(values: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return observables with equal steps as channels of one, (n, steps, channels).

    A single one is unchanged.
    """
    return (
        values[0]
        if len(values) == 1
        else tf.concat([with_features(value) for value in values], axis=-1)
    )


def disagreement(
    observables: Sequence[str], shapes: Mapping[str, tuple[int, ...]], lengths: Mapping[str, str]
) -> str | None:
    """Return why observables can't be channels of one, or None if they can."""
    of_these = {name: shapes[name] for name in observables}
    if any(len(shape) not in (1, 2) for shape in of_these.values()):
        return f"shapes {of_these}, not all (steps,) or (steps, channels)"
    if len({shape[0] for shape in of_these.values()}) > 1:
        return f"shapes {of_these}, of different numbers of steps"
    if len({lengths.get(name) for name in observables}) > 1:
        return f"steps counted by { {name: lengths.get(name) for name in observables} }"
    return None
