"""What an estimator tells of itself, in notebooks and on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd


class Trainee(Protocol):
    """The part of an estimator that these texts need."""

    history: pd.DataFrame
    training: dict[str, Any]

    @property
    def trained(self) -> bool: ...

    @property
    def steps_done(self) -> int: ...

    def configuration(self) -> dict[str, Any]: ...


def state_text(estimator: Trainee) -> str:
    """Write whether an estimator is trained, and for how many steps."""
    return f"trained for {estimator.steps_done:,} steps" if estimator.trained else "not trained"


def training_facts(estimator: Trainee) -> dict[str, str]:
    """Return training, networks and losses as texts by heading, for a table in a notebook."""
    networks: dict[str, Any] = {}
    for name, value in estimator.configuration().items():
        networks |= value if isinstance(value, dict) else {name: value}
    facts = {"training": "not trained", **{name: repr(value) for name, value in networks.items()}}
    if not estimator.trained:
        return facts
    batch_size = estimator.training.get("settings", {}).get("batch_size", 0)
    facts["training"] = f"{estimator.steps_done:,} steps of {batch_size:,}"
    history = estimator.history
    if "loss" in history:
        facts["loss"] = f"{history['loss'].iloc[-1]:.3f}"
    # The best weights are kept.
    if "val_loss" in history:
        facts["val_loss"] = f"{history['val_loss'].min():.3f}"
    return facts
