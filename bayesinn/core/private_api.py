"""Private API of TensorFlow, TensorFlow Probability and Keras: all that the library uses.

``tests/core/test_private_api.py`` fails if another version of theirs has moved it.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from typing import Any


def has_started() -> bool:
    """Return whether TensorFlow may have read its flags, which it does once.

    Asked in public, it would start.
    """
    module = sys.modules.get("tensorflow.python.eager.context")
    return module is not None and bool(getattr(module.context(), "_initialized", True))


def custom_gradients() -> dict[str, Any]:
    """Return the gradients that TensorFlow has registered, by name.

    It registers that of each function with a custom one, such as SiLU, for ever.
    """
    from tensorflow.python.framework import ops

    return ops.gradient_registry._registry


def bijector_memory() -> dict[Any, Any]:
    """Return what the bijectors of TensorFlow Probability remember, of all classes.

    They hold the graphs in which they were called.
    """
    from tensorflow_probability.python.bijectors import bijector

    return bijector.Bijector._cache.storage


def learning_rate(optimizer: Any) -> Any:
    """Return the learning rate of a Keras optimiser as it was given: a number or a schedule.

    Its public ``learning_rate`` is the number at the present step.
    """
    return optimizer._learning_rate


def all_layers(network: Any) -> list[Any]:
    """Return a Keras layer and all layers inside of it, which only a ``Model`` lists in public."""
    return list(network._flatten_layers())


@functools.cache
def mend_padding() -> None:
    """Let the bijector ``Pad``, on which simplexes and unit vectors rest, run with NumPy 2.4.

    TensorFlow Probability 0.25 passes ``newshape`` to ``np.reshape``, which NumPy 2.4 has removed.
    Its module ``pad`` alone gets a ``reshape`` that takes it.
    """
    import numpy as np

    if "newshape" in inspect.signature(np.reshape).parameters:
        return
    from tensorflow_probability.python.bijectors import pad

    def reshape(array: Any, newshape: Any) -> Any:
        return np.reshape(array, newshape)

    pad.np = types.SimpleNamespace(**{**vars(np), "reshape": reshape})
