"""Why one trial can never start on a machine, and what to write instead."""

from __future__ import annotations

from rlsweep.errors import PreflightError
from rlsweep.plan.packing import Miss
from rlsweep.plan.trial_resources import ACCELERATOR, TrialResources


def refusal(resources: TrialResources, miss: Miss) -> PreflightError:
    """What no node can hold, the node that comes nearest, and what to write instead."""
    parts = [_bundle_name(resources, miss.bundle)]
    if miss.node is not None:
        found = ", ".join(
            f"{lack.wanted:g} {lack.resource} where {lack.there:g} is free" for lack in miss.lacks
        )
        parts.append(f"{miss.node} comes nearest: {found}")
    if miss.reason:
        parts.append(miss.reason)
    key, remedy = _remedy(resources, miss)
    return PreflightError("; ".join([*parts, remedy]), key=key)


def _remedy(resources: TrialResources, miss: Miss) -> tuple[str, str]:
    """The key of the spec that asks for what is not there, and what to do."""
    lacking = {lack.resource for lack in miss.lacks}
    without_gpu = "run with --cpu, or write resources: {gpus: auto} to fall back to the CPU"
    if miss.lacks_labels and ACCELERATOR in miss.reason:
        return "resources.accelerator", without_gpu
    if miss.lacks_labels:
        return "resources.node_labels", "nodes get them by ray start --labels"
    if "GPU" in lacking:
        return "resources.gpus_per_learner", without_gpu
    if own := lacking & {name for name, _ in resources.custom_resources}:
        return "resources.custom_resources", f"nodes get {' and '.join(sorted(own))} by ray start --resources"
    return "resources.env_runners", (
        f"one trial takes {resources.cpus:g} CPUs in {len(resources.bundles)} bundles; lower "
        "resources.env_runners, resources.cpus_per_env_runner or resources.cpus_for_main_process"
    )


def _bundle_name(resources: TrialResources, index: int | None) -> str:
    if index is None:
        return "one trial can never start: its bundles together fit on no node"
    content = ", ".join(f"{amount:g} {kind}" for kind, amount in resources.bundles[index].items())
    is_runner = 0 < index <= resources.env_runners
    role = "main process" if index == 0 else "env runner" if is_runner else "learner"
    return f"one trial can never start: the bundle of its {role} ({{{content}}}) fits on no node"
