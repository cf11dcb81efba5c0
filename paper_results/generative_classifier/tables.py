"""Tables of README.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import scipy.stats

from docs.numbers.tables import markdown

DATA = ("digits", "MNIST", "CIFAR-10")
WAYS = ("plain", "temperature", "taken back")
#: Of those measured.
ATTACK_SIZES = (0.05, 0.1)
HERE = Path(__file__).resolve().parent


def digits() -> str:
    """Return the sweep on digits."""
    return _sweep("digits")


def mnist() -> str:
    """Return the sweep on MNIST."""
    return _sweep("MNIST")


def cifar10() -> str:
    """Return the sweep on CIFAR-10."""
    return _sweep("CIFAR-10")


def gaussians() -> str:
    """Return accuracies on Gaussian mixtures beside that of Bayes' rule, means over seeds."""
    table = pd.read_csv(HERE / "gaussians.csv")
    rows = []
    for beta, own in table.groupby("beta"):
        gap = own["accuracy"] - own["Bayes accuracy"]
        rows.append(
            [
                _beta(beta),
                f"{own['accuracy'].mean():.4f}",
                f"{own['Bayes accuracy'].mean():.4f}",
                f"{gap.mean():+.4f} ± {np.hypot.reduce(own['standard error']) / len(own):.4f}",
                f"{own['mean difference'].mean():.4f}",
                f"{own['ECE'].mean():.4f}",
                f"{own['Bayes ECE'].mean():.4f}",
            ]
        )
    head = ["beta", "accuracy", "Bayes' rule", "difference", "mean difference of probabilities"]
    return markdown([*head, "ECE", "ECE of Bayes' rule"], rows).replace("-0.", "\N{MINUS SIGN}0.")


def published() -> str:
    """Return the published sweep on ImageNet."""
    table = pd.read_csv(HERE / "published.csv")
    rows = [
        [_beta(beta), f"{bits:.2f}", "" if np.isnan(accuracy) else f"{accuracy:.4f}"]
        for beta, bits, accuracy in table.itertuples(index=False)
    ]
    return markdown(["beta", "bits per dimension", "accuracy"], rows)


def monotony() -> str:
    """Return rank correlations of beta with both columns: over means, and smallest over seeds."""
    rows = []
    flows = _results("flow")
    for data in DATA:
        own = flows[flows["data"] == data]
        if own.empty:
            continue
        cells = []
        for column in ("bits", "accuracy"):
            means = own.groupby("beta")[column].mean()
            each = [_spearman(one["beta"], one[column]) for _, one in own.groupby("seed")]
            cells += [f"{_spearman(means.index, means):.2f}", f"{min(each):.2f}"]
        rows.append([data, *cells])
    head = ["data", "bits, mean over seeds", "lowest of a seed"]
    return markdown([*head, "accuracy, mean over seeds", "lowest of a seed"], rows)


def outliers() -> str:
    """Return areas under the curve by data, outliers and score, for beta 0, 1, infinity."""
    table = pd.read_csv(HERE / "outliers.csv")
    flows = table[(table["network"] == "flow") & table["beta"].isin([0.0, 1.0, np.inf])]
    softmax = table[table["network"] == "softmax"]
    rows = []
    named = flows.sort_values("data", key=lambda data: data.map(DATA.index), kind="stable")
    for (data, name), own in named.groupby(["data", "outliers"], sort=False):
        cells = []
        for score in ("low density", "untypical density", "entropy"):
            means = own[own["score"] == score].groupby("beta")["AUC"].mean()
            cells.append(" / ".join(f"{value:.2f}" for value in means))
        other = softmax[(softmax["data"] == data) & (softmax["outliers"] == name)]["AUC"]
        rows.append([data, name, *cells, f"{other.mean():.2f}" if len(other) else ""])
    head = ["data", "outliers", "low density", "untypical density", "entropy of classes"]
    return markdown([*head, "softmax: entropy"], rows)


def calibration() -> str:
    """Return calibration on digits with smoothed labels and with others, as it is and mended."""
    return _calibration("digits")


def calibration_mnist() -> str:
    """Return the same on MNIST."""
    return _calibration("MNIST")


def attacks() -> str:
    """Return accuracies under attack, and how well what attacked images is told apart."""
    table = pd.read_csv(HERE / "attacks.csv")
    rows = []
    order = table.sort_values("data", key=lambda data: data.map(DATA.index), kind="stable")
    for (data, network, beta), group in order.groupby(["data", "network", "beta"], sort=False):
        means = group.groupby(["attack", "size"]).mean(numeric_only=True)
        name = f"beta = {_beta(beta)}" if network == "flow" else "softmax classifier"
        for size in ATTACK_SIZES:
            cells = [
                _cell(means, attack, size, column)
                for attack, column in (
                    ("random", "accuracy"),
                    ("one step", "accuracy"),
                    ("steps", "accuracy"),
                    ("random", "AUC, untypical density"),
                    ("steps", "AUC, untypical density"),
                    ("steps", "AUC, entropy"),
                    ("unnoticed", "accuracy"),
                    ("unnoticed", "AUC, untypical density"),
                )
            ]
            rows.append([data, name, f"{size:g}", *cells])
    head = ["data", "network", "size", "accuracy: random", "one step", "steps"]
    head += ["untypical: random", "steps", "entropy: steps", "unnoticed: accuracy", "untypical"]
    return markdown(head, rows)


def _cell(means: pd.DataFrame, attack: str, size: float, column: str) -> str:
    if (attack, size) not in means.index or np.isnan(means.loc[(attack, size), column]):
        return ""
    return f"{means.loc[(attack, size), column]:.2f}"


def _calibration(data: str) -> str:
    table = pd.read_csv(HERE / "calibration.csv")
    rows = []
    own = table[table["data"] == data]
    for (network, beta, smoothing), group in own.groupby(["network", "beta", "smoothing"]):
        means = group.mean(numeric_only=True)
        rows.append(
            [
                f"beta = {_beta(beta)}" if network == "flow" else "softmax classifier",
                f"{smoothing:.0%}",
                f"{means['accuracy']:.4f}",
                f"{means['confidence']:.4f}",
                *(f"{means[f'ECE, {way}']:.4f}" for way in WAYS),
                f"{means['temperature']:.2f}",
                *(f"{means[f'cross-entropy, {way}']:.3f}" for way in WAYS),
            ]
        )
    head = ["network", "smoothing", "accuracy", "confidence", "ECE", "with a temperature"]
    head += ["taken back", "temperature", "cross-entropy, nats", "with a temperature", "taken back"]
    return markdown(head, rows)


def _sweep(data: str) -> str:
    """Return the networks on a data set, means over seeds."""
    table = pd.read_csv(HERE / "results.csv")
    rows = []
    own = table[table["data"] == data]
    for (network, beta), group in own.groupby(["network", "beta"]):
        name = f"beta = {_beta(beta)}" if network == "flow" else "softmax classifier"
        means = group.mean(numeric_only=True)
        rows.append(
            [
                name,
                "" if np.isnan(means["bits"]) else f"{means['bits']:.2f}",
                f"{means['accuracy']:.4f}",
                f"{means['cross-entropy']:.3f}",
                f"{means['ECE']:.4f}",
                f"{means['ECE of all']:.4f}",
                f"{means['MCE of all']:.2f}",
                f"{means['overconfidence']:.1f}",
                f"{group['weights'].iloc[0]:,}",
                f"{means['seconds']:.0f}",
            ]
        )
    head = ["network", "bits per dimension", "accuracy", "cross-entropy, nats", "ECE, top class"]
    head += ["ECE, authors' bins", "MCE, authors' bins", "overconfidence", "weights", "seconds"]
    return markdown(head, rows)


def _results(network: str) -> pd.DataFrame:
    table = pd.read_csv(HERE / "results.csv")
    return table[table["network"] == network]


def _spearman(first: object, second: object) -> float:
    return float(scipy.stats.spearmanr(first, second).statistic)


def _beta(value: float) -> str:
    return "infinity" if np.isinf(value) else f"{value:g}"
