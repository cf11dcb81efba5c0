"""Adapter: sbi, through NPE.

It trains on stored simulations, which are drawn before the clock of ``fit`` starts.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import task as tasks
import torch
from problems import Data, Problem
from sbi.inference import NPE
from sbi.neural_nets import posterior_nn
from sbi.neural_nets.embedding_nets import CNNEmbedding, FCEmbedding, PermutationInvariantEmbedding
from sbi.utils import BoxUniform

PACKAGES = ("sbi", "torch")
_VALIDATION = 0.1
# Steps of large batches are slow: six epochs last as long as the fits of others, which end early.
_LARGE_BATCH = 512
_EPOCHS_OF_LARGE_BATCHES = 6


class ConvLSTM(torch.nn.Module):
    """The layers of bayesinn's summary network, for equal work."""

    def __init__(self, problem: Problem, channels: int) -> None:
        super().__init__()
        self.convolutions = torch.nn.ModuleList(
            [torch.nn.Conv1d(channels, 64, 3), torch.nn.Conv1d(64, 64, 3)]
        )
        self.lstm = torch.nn.LSTM(64, problem.lstm_units, batch_first=True)
        self.dense = torch.nn.Linear(problem.lstm_units, problem.summaries)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x
        for convolution in self.convolutions:
            h = torch.relu(convolution(torch.nn.functional.pad(h, (2, 0))))
        return self.dense(self.lstm(h.transpose(1, 2))[1][0][-1])


def tensors(problem: Problem, data: Data) -> tuple[torch.Tensor, torch.Tensor]:
    """Parameters and data, prepared as in sbi's documentation: channels first, sets NaN-padded."""
    x = np.log1p(data["x"]) if problem.log_scale else data["x"]
    if problem.kind == "series":
        x = np.swapaxes(x, 1, 2)
    if problem.kind == "set":
        x = np.where((np.arange(x.shape[1]) < data["n"])[..., None], x, np.nan)
    return torch.as_tensor(data["theta"]), torch.as_tensor(x, dtype=torch.float32)


def estimator(problem: Problem, settings: str, x: torch.Tensor) -> Any:
    """Defaults of NPE, or networks of equal size in all libraries."""
    if settings == "equal":
        embedding = (
            torch.nn.Identity() if problem.kind == "vector" else ConvLSTM(problem, x.shape[1])
        )
        # Its blocks transform one half. 12 of them have as many networks as 6 that transform both.
        options = {"num_transforms": 12, "hidden_features": (128, 128), "activation": torch.nn.SiLU}
        return posterior_nn("zuko_nice", embedding_net=embedding, **options)
    if problem.kind == "set":
        embedding = PermutationInvariantEmbedding(FCEmbedding(1, output_dim=20), 20)
        return posterior_nn("maf", embedding_net=embedding, z_score_x="none")
    if problem.kind == "series":
        return posterior_nn(
            "maf", embedding_net=CNNEmbedding(tuple(x.shape[2:]), in_channels=x.shape[1])
        )
    return "nsf" if problem.bounds else "maf"


def fit(problem: Problem, task: dict[str, Any], limit: float) -> tasks.Fit:
    # Nothing of sbi's is called when an epoch ends, so that the limit can't be kept by the clock.
    torch.manual_seed(task["seed"])
    result = tasks.Fit()
    own = task["task"] == "accuracy"
    options = {}
    simulations = (
        task["budget"]
        if own
        else math.ceil(task["batch"] * task["steps_per_epoch"] / (1 - _VALIDATION)) + 1
    )
    if not own:
        longest = _EPOCHS_OF_LARGE_BATCHES if task["batch"] >= _LARGE_BATCH else task["epochs"]
        options = {
            "training_batch_size": task["batch"],
            "max_num_epochs": min(task["epochs"], longest),
            "stop_after_epochs": 10**6,
        }
    theta, x = tensors(problem, problem.simulate(simulations, np.random.default_rng(task["seed"])))
    dimension = theta.shape[1]
    # Of the prior, only the support matters for the first round: it is not part of the loss.
    prior: Any = torch.distributions.MultivariateNormal(
        torch.zeros(dimension), torch.eye(dimension)
    )
    if problem.bounds:
        prior = BoxUniform(*(torch.full((dimension,), bound) for bound in problem.bounds))
    result.start()
    trainer = NPE(
        prior=prior,
        density_estimator=estimator(problem, task["settings"], x),
        show_progress_bars=False,
    )
    trainer.append_simulations(theta, x, exclude_invalid_x=problem.kind != "set")
    network = trainer.train(**options)
    result.model = trainer.build_posterior(), network
    result.end()
    # sbi reports how long its epochs took, which include a pass through the validation set.
    durations = trainer.summary["epoch_durations_sec"]
    result.epochs = list(result.started + np.cumsum(durations))
    result.weights = sum(weight.numel() for weight in network.parameters())
    return result


def draw(model: Any, problem: Problem, data: Data, draws: int) -> np.ndarray:
    _, x = tensors(problem, data)
    posterior = model[0]
    options = {"show_progress_bars": False}
    one = len(x) == 1
    values = (
        posterior.sample((draws,), x=x, **options)
        if one
        else posterior.sample_batched((draws,), x=x, **options)
    )
    values = values.numpy()
    return np.exp(values) if problem.log_scale else values


def log_prob(model: Any, problem: Problem, data: Data) -> np.ndarray:
    # The network's density, uncorrected for what it puts outside the prior's bounds: that has no
    # closed form.
    theta, x = tensors(problem, data)
    with torch.no_grad():
        return problem.own_scale(model[1].log_prob(theta[None], x)[0].numpy(), data["theta"])


if __name__ == "__main__":
    tasks.main(__name__)
