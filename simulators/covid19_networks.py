"""Networks for the Covid-19 model: the published architecture, and the lean default one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import bayesinn as bi
from bayesinn.bijections import ActNorm, Affine, Bijection, Chain, Coupling, Orthogonal, Spline
from bayesinn.flows import Flow, InvertibleFlow, coupling
from bayesinn.summaries import MLP, ConvLSTM, Summary

from .covid19_count_series import CountSeries
from .covid19_multi_kernel_lstm import MultiKernelLSTM
from .covid19_options import Covid19Options
from .covid19_scoring import Covid19WorkingModel
from .fisher_scoring import FisherScoring, Straightened


def lean_networks(options: Covid19Options, fits: bool = True) -> tuple[dict[str, Summary], Flow]:
    """One trunk for all series, a spline coupling for single-parameter shapes, seven affine ones.

    Days are always the same, so that a perceptron may give each its own weights; where their number
    varies, a Conv + LSTM strides over the series by weeks. Where neither the population nor the
    number of days varies, what the trunk gives is a first estimate only: from there the model is
    fitted. Parameters meet the splines before they are mixed: without a fit, a weekly phase, which
    is an angle, is often split between both ends of its range.

    Parameters
    ----------
    options : Covid19Options
        Of the simulator.
    fits : bool
        Whether the model is fitted, where it can be: in three rounds of five steps, and up to 16
        more where that still helps.

    Returns
    -------
    summary : dict flow : Flow
    """
    hidden = (192, 192)
    chain: list[Bijection] = [ActNorm(), Coupling(Spline(), hidden=hidden)]
    for _ in range(7):
        chain += [ActNorm(), Orthogonal(), Coupling(Affine(), hidden=hidden)]
    flow = InvertibleFlow(Chain(chain))
    names = ", ".join(options.series)
    counts = CountSeries(units=128, hidden=(512, 512))
    if fits and can_be_fitted(options):
        model = Covid19WorkingModel(options=dataclasses.replace(options, regular_noise=True))
        summary = FisherScoring(model, counts, rounds=3, reuses=4, further=16)
        return {names: summary}, Straightened(flow, model)
    trunk: Summary = counts
    if options.most_days < counts.fewest_steps:
        trunk = MLP(units=128, hidden=(512, 512))
    elif isinstance(options.days, tuple):
        trunk = ConvLSTM(units=96, filters=(128,), kernel_size=7, stride=7, lstm_units=128)
    return {names: trunk}, flow


def can_be_fitted(options: Covid19Options) -> bool:
    """Whether the data have noise, as many days as the trunk needs, and a fixed population."""
    fixed = not isinstance(options.days, tuple) and not isinstance(options.population, tuple)
    return options.noise and fixed and options.most_days >= CountSeries().fewest_steps


def published_networks(
    series: Sequence[str] = ("confirmed", "recovered", "deaths"),
) -> tuple[dict[str, Summary], Flow]:
    """The architecture of Radev et al. (2021): a branch for each series, and six affine couplings.

    In place of two networks for log scales and shifts, as published, one with as many units has
    both as outputs.

    Examples
    --------
    >>> summary, flow = published_networks()
    >>> list(summary)
    ['confirmed', 'recovered', 'deaths']
    """
    flow = coupling(
        blocks=6, hidden=(192, 192, 192), activation="elu", mixing="permutation", actnorm=False
    )
    return {name: MultiKernelLSTM(units=64) for name in series}, flow


def recommended(options: Covid19Options) -> bi.Recommended:
    """The lean networks, with the training that was found to suit them."""
    summary, flow = lean_networks(options)
    if not can_be_fitted(options):
        return bi.Recommended(summary, flow, steps=45_000, batch_size=256, learning_rate=2e-3)
    # A step with a fit takes nine times as long as one without (networks.csv of the case study):
    # 423 and 45 ms.
    return bi.Recommended(summary, flow, steps=18_000, batch_size=256, learning_rate=1e-3, passes=4)
