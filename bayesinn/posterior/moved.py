"""Networks of saved posteriors, with classes that have moved since: rewritten as they are now."""

from typing import Any

_SIMULATORS = "bayesinn.simulators"
#: Public names by earlier ones.
_MOVED = {
    "summaries.CountSeries": f"{_SIMULATORS}.covid19_count_series.CountSeries",
    "summaries.MultiKernelLSTM": f"{_SIMULATORS}.covid19_multi_kernel_lstm.MultiKernelLSTM",
}
#: A summary that had its working model, and the frame of the flow, in itself.
_SCORING = f"{_SIMULATORS}.covid19_scoring.Covid19Scoring"


def rewrite(network: dict[str, Any]) -> dict[str, Any]:
    """Return the descriptions of summaries and flow with the present classes."""
    flow = network["flow"]
    summaries = {}
    for key, given in network["summaries"].items():
        summary = _renamed(given)
        if summary["class"] == _SCORING:
            arguments = {**summary["arguments"]}
            model = {
                "class": f"{_SIMULATORS}.covid19_scoring.Covid19WorkingModel",
                "arguments": {"options": arguments.pop("options")},
            }
            summary = {
                "class": f"{_SIMULATORS}.fisher_scoring.scoring.FisherScoring",
                "arguments": {"model": model, **arguments},
            }
            flow = {
                "class": f"{_SIMULATORS}.fisher_scoring.flow.Straightened",
                "arguments": {"flow": flow, "model": model},
            }
        summaries[key] = summary
    return {**network, "summaries": summaries, "flow": flow}


def _renamed(description: Any) -> Any:
    if isinstance(description, list):
        return [_renamed(item) for item in description]
    if not isinstance(description, dict):
        return description
    renamed = {key: _renamed(value) for key, value in description.items()}
    if "class" in renamed:
        renamed["class"] = _MOVED.get(renamed["class"], renamed["class"])
    return renamed
