"""How far posteriors are from references, beside what sampling alone makes of exact ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
from reference import Reference


def beside(exact: Reference, parameter: str, draws: np.ndarray) -> dict[str, float]:
    """Return one parameter of one spectrum: reference and draws, and what sampling alone makes of their distance."""
    sd = exact.sd(parameter)
    return {
        "effective size": exact.effective_size,
        "reference mean": exact.mean(parameter),
        "reference sd": sd,
        "mean": draws.mean(dtype=float),
        "sd": draws.std(dtype=float),
        "variance of sampling": (exact.error_of_mean(parameter) / sd) ** 2 + 1.0 / len(draws),
        "KS": exact.distance(parameter, draws),
        "KS by chance": exact.distance_by_chance(len(draws)),
    }


def apart(exact: Reference, other: Reference, parameter: str) -> dict[str, float]:
    """Return how far the means of two references are apart in sd, and the variance that sampling makes."""
    sd = exact.sd(parameter)
    return {
        "error": (other.mean(parameter) - exact.mean(parameter)) / sd,
        "variance of sampling": (
            exact.error_of_mean(parameter) ** 2 + other.error_of_mean(parameter) ** 2
        )
        / sd**2,
    }


def summary(rows: pd.DataFrame, mixed: pd.DataFrame) -> dict[str, float]:
    """Return the errors over spectra; floors are what two exact samples of the same sizes would show."""
    error = (rows["mean"] - rows["reference mean"]) / rows["reference sd"]
    ratio = rows["sd"] / rows["reference sd"]
    prior = ~rows["mixture"].astype(bool)
    return {
        "spectra": len(rows),
        "by mixture": (~prior).sum(),
        "smallest effective size": rows["effective size"].min(),
        "median effective size": rows["effective size"].median(),
        "error of mean [sd], rms": np.sqrt(np.mean(error**2)),
        "floor [sd], rms": np.sqrt(rows["variance of sampling"].mean()),
        "error beyond floor [sd]": np.sqrt(
            max(np.mean(error**2) - rows["variance of sampling"].mean(), 0.0)
        ),
        "error of mean by prior [sd], rms": np.sqrt(np.mean(error[prior] ** 2)),
        "error of mean [sd], largest": error.abs().max(),
        "error of mean [sd], mean": error.mean(),
        "ratio of sds, median": ratio.median(),
        "ratio of sds, 5 %": ratio.quantile(0.05),
        "ratio of sds, 95 %": ratio.quantile(0.95),
        "KS": rows["KS"].mean(),
        "KS by chance": rows["KS by chance"].mean(),
        "references apart [sd], rms": np.sqrt(np.mean(mixed["error"] ** 2)),
        "references apart by chance [sd], rms": np.sqrt(mixed["variance of sampling"].mean()),
    }
