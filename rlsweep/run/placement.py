"""The placement group of a trial, as Tune asks Ray for it."""

from __future__ import annotations

from collections.abc import Sequence

from ray.tune import PlacementGroupFactory

from rlsweep.plan.packing import Bundle, LabelSelector


def group_factory(
    bundles: Sequence[Bundle], strategy: str, selectors: Sequence[LabelSelector]
) -> PlacementGroupFactory:
    """Of bundles and, where some of them ask for labels, a label selector for each."""
    labels = {"bundle_label_selector": [dict(one) for one in selectors]} if any(selectors) else {}
    return PlacementGroupFactory([dict(bundle) for bundle in bundles], strategy=strategy, **labels)
