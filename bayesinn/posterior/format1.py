"""Manifests of format 1, which named classes by module: rewritten as those of the present format.

What a later version moves or renames is said here once: a class in the table, a network that is built in another way
in :func:`rewrite_network`.
"""

from __future__ import annotations

from typing import Any

#: Classes of format 1 as "module:class" below ``bayesinn.``, by the room that has them now.
_CLASSES = {
    "bijections": """
        flows.actnorm:ActNorm flows.autoregressive_block:Autoregressive flows.chain:Chain flows.coupling_block:Coupling
        flows.hierarchical_block:Hierarchical flows.householder:Householder flows.lu:LULinear
        flows.orthogonal:Orthogonal flows.permutation:Permutation flows.residual_block:Residual
        flows.log_det_series:Geometric flows.log_det_series:Poisson
        flows.transforms.affine:Affine flows.transforms.composed:Composed flows.transforms.spline:Spline
        flows.transforms.volume_preserving:VolumePreserving
    """,
    "flows": """
        flows.latents.gaussian_mixture:GaussianMixture flows.latents.normal:Normal
        flows.latents.student_t:StudentT inverse.split_losses:SplitLosses
        flows.latents:Normal flows.latents:StudentT
    """,
    "inverse": "inverse.class_normal:ClassNormal",
    "summaries": """
        summaries.conv_lstm:ConvLSTM summaries.count_series:CountSeries summaries.deep_set:DeepSet
        summaries.identity:Identity summaries.mlp:MLP summaries.multi_kernel_lstm:MultiKernelLSTM
        summaries.set_transformer:SetTransformer
    """,
}
#: Public names by names of format 1.
NAMES = {
    **{
        f"bayesinn.{old}": f"{room}.{old.partition(':')[2]}"
        for room, names in _CLASSES.items()
        for old in names.split()
    },
    "bayesinn.flows.flow:Flow": "flows.InvertibleFlow",
    "bayesinn.inverse.split_flow:SplitFlow": "flows.SplitLatentFlow",
}
_STANDARDISE = "bayesinn.flows.standardise:Standardise"


def rewrite(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest of format 1 as one of the present format, without a fingerprint."""
    manifest = {"prior": {}, **manifest}
    for entry in ("network", "model"):
        if entry in manifest:
            manifest[entry] = rewrite_network(manifest[entry])
    # The flow decided the class of a posterior.
    split = manifest.get("network", {}).get("flow", {}).get("class") == "flows.SplitLatentFlow"
    manifest["class"] = "inverse.SplitLatent" if split else "posterior.AmortizedPosterior"
    if isinstance(manifest.get("simulator"), dict):
        # The ready models were a package of their own.
        module = str(manifest["simulator"].get("module"))
        manifest["simulator"] = {**manifest["simulator"], "module": _inside(module)}
    return manifest


def rewrite_network(description: Any) -> Any:
    """Return the description of a network with the public names of its classes."""
    if isinstance(description, list):
        return [rewrite_network(item) for item in description]
    if not isinstance(description, dict):
        return description
    if set(description) == {"class", "arguments"}:
        name = str(description["class"])
        if name == _STANDARDISE:
            # The frame of a summary standardises parameters now, before any flow.
            return rewrite_network(description["arguments"]["inner"])
        name = NAMES.get(name, _inside(name.replace(":", ".")))
        return {"class": name, "arguments": rewrite_network(description["arguments"])}
    return {key: rewrite_network(value) for key, value in description.items()}


def _inside(name: str) -> str:
    return f"bayesinn.{name}" if name.partition(".")[0] == "simulators" else name
