"""Manifests of format 1, which named classes by module: rewritten as those of the present format.

What a later version moves or renames is said here once: a class in the table, a network that is
built in another way in :func:`rewrite_network`.
"""

from typing import Any

#: Classes by the room that has them now. Format 1 named them by module, as in
#: "bayesinn.flows.actnorm:ActNorm".
_CLASSES = {
    "bijections": "ActNorm Affine Autoregressive Chain Composed Coupling Geometric Hierarchical "
    "Householder LULinear "
    "Orthogonal Permutation Poisson Residual Spline VolumePreserving",
    "flows": "GaussianMixture Normal SplitLosses StudentT",
    "inverse": "ClassNormal",
    "summaries": "ConvLSTM CountSeries DeepSet Identity MLP MultiKernelLSTM SetTransformer",
}
#: Public names by the names that classes of the library had.
NAMES = {
    **{name: f"{room}.{name}" for room, names in _CLASSES.items() for name in names.split()},
    "Flow": "flows.InvertibleFlow",
    "SplitFlow": "flows.SplitLatentFlow",
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
        module, _, kind = name.partition(":")
        ours = module.startswith("bayesinn.") and kind in NAMES
        name = NAMES[kind] if ours else _inside(name.replace(":", "."))
        return {"class": name, "arguments": rewrite_network(description["arguments"])}
    return {key: rewrite_network(value) for key, value in description.items()}


def _inside(name: str) -> str:
    return f"bayesinn.{name}" if name.partition(".")[0] == "simulators" else name
