"""Missing values: NaN in an observable, where a simulator declares them."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.validation import check_number


def check_missing(subject: str, value: Any) -> float | None:
    """Return the largest share of values that are lost at random, or None.

    The share is 0.0 if the simulator itself decides which values are missing.
    """
    if value is None:
        return None
    if isinstance(value, str) and value == "mask":
        return 0.0
    return check_number(
        subject,
        value,
        above=0,
        below=1,
        do="pass missing='mask' where the simulator itself returns NaN, or the largest share that "
        "is lost, such as 0.3",
    )


def missing_option(share: float | None) -> Any:
    """Return the option that declares what :func:`check_missing` returned."""
    return "mask" if share == 0.0 else share


def lose_values(
    observables: Mapping[str, tf.Tensor], share: float, seed: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Return observables (n, ...) as floats, each row without a random share of its values.

    This share is drawn anew for each row, uniformly from 0 to ``share``.
    """
    first, *others = seeds.split(seed, 1 + len(observables))
    rows = tf.shape(next(iter(observables.values())))[:1]
    shares = tf.random.stateless_uniform(rows, first, 0.0, share, alg="philox")
    kept = {}
    for (name, value), own in zip(observables.items(), others, strict=True):
        value = tf.convert_to_tensor(value)
        value = value if value.dtype.is_floating else tf.cast(value, tf.float32)
        threshold = tf.reshape(shares, tf.concat([rows, (value.shape.rank - 1) * [1]], axis=0))
        lost = tf.random.stateless_uniform(tf.shape(value), own, alg="philox") < threshold
        kept[name] = tf.where(lost, tf.constant(float("nan"), value.dtype), value)
    return kept
