"""Keras as networks need it: on TensorFlow, in single precision.

Import this module before anything that imports Keras.
"""

import os

from bayesinn.core.errors import InputError


def check_precision() -> None:
    """Raise unless Keras computes in single precision."""
    import keras

    policy = keras.config.dtype_policy().name
    default = keras.config.floatx()
    if (policy, default) != ("float32", "float32"):
        raise InputError(
            "Precision of Keras",
            expected="float32, in which networks compute here",
            got=f"dtype policy {policy!r}, floatx {default!r}",
            do='call keras.config.set_floatx("float32") and '
            'keras.config.set_dtype_policy("float32"), or mend keras.json',
        )


def _check_backend() -> None:
    # The environment first: a backend that is not installed ends the import of Keras.
    chosen = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if chosen == "tensorflow":
        import keras

        chosen = keras.config.backend()
    if chosen != "tensorflow":
        raise InputError(
            "Backend of Keras",
            expected="'tensorflow'",
            got=repr(chosen),
            do='set KERAS_BACKEND=tensorflow, or os.environ["KERAS_BACKEND"] = "tensorflow" before '
            "Keras is imported",
        )


_check_backend()
check_precision()
