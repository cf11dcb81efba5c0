"""Which optimizers of Keras training accepts."""

from typing import Any

import keras

from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_type

_DO = "pass for example keras.optimizers.AdamW(1e-3)"


def check_optimizer(optimizer: Any) -> None:
    """Refuse what is no optimizer, and what the training step does by itself."""
    subject = "Argument 'optimizer'"
    check_type(subject, optimizer, keras.optimizers.Optimizer, "a Keras optimizer object", _DO)
    # Steps are counted, and gradients differentiated, by the training step.
    refused = {
        name: value
        for name in ("loss_scale_factor", "gradient_accumulation_steps")
        if (value := getattr(optimizer, name, None)) is not None
    }
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        refused = {"class": "LossScaleOptimizer"}
    if refused:
        raise InputError(
            subject,
            expected="one that neither scales losses nor accumulates gradients",
            got=", ".join(f"{name} {value}" for name, value in refused.items()),
            do="leave them out; bi.Optimization(accumulate=...) divides batches, and "
            "mixed_precision needs no scaling",
        )
    _refuse_by_shape(optimizer)


def _refuse_by_shape(optimizer: keras.optimizers.Optimizer) -> None:
    """Refuse an optimizer that treats weights by shape or name: it gets all in one vector."""
    by_shape = (keras.optimizers.Adafactor, keras.optimizers.Lamb, keras.optimizers.Muon)
    got = ""
    if isinstance(optimizer, by_shape):
        got = type(optimizer).__name__
    if getattr(optimizer, "_exclude_from_weight_decay", None):
        got = "weights that are excluded from weight decay"
    if getattr(optimizer, "_exclude_from_weight_decay_pattern", None) is not None:
        got = "names that are excluded from weight decay"
    if got:
        raise InputError(
            "Argument 'optimizer'",
            expected="one that treats all weights alike, which are one vector",
            got=got,
            do=_DO,
        )
