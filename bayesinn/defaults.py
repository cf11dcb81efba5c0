"""Networks for those who don't choose: from the observables' shapes alone, and said aloud."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bayesinn import flows, summaries
from bayesinn.errors import InputError
from bayesinn.flows import Flow
from bayesinn.simulation.simulator import Simulator
from bayesinn.summaries import Summary

# A vector of this many numbers needs no compression before the flow.
_FEW_NUMBERS = 8


def choose_flow(flow: Flow | None) -> Flow:
    """The user's flow, or six affine coupling blocks."""
    if flow is None:
        return flows.coupling()
    if not isinstance(flow, Flow):
        raise InputError(
            "Argument 'flow'",
            expected="a Flow, such as bi.flows.coupling(blocks=6)",
            got=repr(flow),
            do="wrap a chain of bijections in bi.flows.Flow(...)",
        )
    return flow


def choose_summaries(
    simulator: Simulator, summary: Summary | Mapping[str, Summary | None] | None
) -> dict[str, Summary]:
    """One summary network per observable: the user's, and defaults for those left out."""
    observables = list(simulator.observable_shapes)
    if summary is None:
        summary = {}
    if isinstance(summary, Summary):
        if len(observables) > 1:
            raise InputError(
                "Argument 'summary'",
                expected=f"a dict, as there are {len(observables)} observables: {observables}",
                got=repr(summary),
                do=f"write summary={{{observables[0]!r}: ..., ...}}; those left out get a default",
            )
        summary = {observables[0]: summary}
    if not isinstance(summary, Mapping) or not all(isinstance(s, Summary | None) for s in summary.values()):
        raise InputError(
            "Argument 'summary'",
            expected="a summary network such as bi.summaries.ConvLSTM(32), or a dict of them by observable",
            got=repr(summary),
            do="derive your own from bi.summaries.Summary",
        )
    unknown = [name for name in summary if name not in observables]
    if unknown:
        raise InputError(
            "Argument 'summary'", expected=f"observables {observables}", got=f"{unknown}", do="check the names"
        )
    return {name: summary.get(name) or _default(simulator, name) for name in observables}


def _default(simulator: Simulator, name: str) -> Summary:
    shape = simulator.observable_shapes[name]
    if len(shape) > 2:
        raise InputError(
            f"Observable {name!r} of shape {shape}",
            expected="a summary network of your own for data with more than two axes",
            got="summary=None",
            do="pass summary=... derived from bi.summaries.Summary",
        )
    few = math.prod(shape) <= _FEW_NUMBERS and len(shape) < 2 and name not in simulator.lengths
    return summaries.Identity() if few else summaries.ConvLSTM(32)
