"""What a reader must know before believing the order of configurations."""

from __future__ import annotations

from analysis.comparison import ConfigurationResult
from analysis.cuts import Cut
from analysis.history import RunHistory
from analysis.reading import Skipped
from analysis.statistics import MIN_BOOTSTRAP_SEEDS
from rlsweep.store.layout import RunLayout

POPULATIONS = ("pbt", "pb2")
"""Schedulers whose trials take over values of others."""

MAX_NAMES = 5
"""Configurations that a sentence lists; the table has them all."""

UNEQUAL_LENGTH = 0.9
"""A configuration with less than this share of the longest one's env steps is not compared silently."""


def cautions(run: RunHistory, ranked: list[ConfigurationResult], cut: Cut | None) -> list[str]:
    """What a reader must know before believing the order."""
    found = _seed_cautions(ranked) + _length_cautions(ranked, cut)
    outgrown = [trial.record.id for trial in run.trials if trial.record.is_outgrown]
    if outgrown:
        found.append(
            "Nothing is judged by trials that were not asked to go on when the spec's stop became a longer "
            f"one: {_some(outgrown)}."
        )
    missing = [one.config_id for one in ranked if not one.valid_seeds]
    if missing:
        found.append(f"No valid value yet: {_some(missing)}.")
    if run.manifest.scheduler in POPULATIONS:
        found.append(
            "A member of a population is called by the values that it began with; the values that it took "
            f"over stand in its {RunLayout.LINEAGE_JSON}."
        )
    skipped = sum((trial.skipped for trial in run.trials), Skipped())
    if str(skipped):
        found.append(f"Lines of the histories that are left out: {skipped}.")
    return found


def _seed_cautions(ranked: list[ConfigurationResult]) -> list[str]:
    cautions = []
    if any(len(configuration.trials) == 1 for configuration in ranked):
        cautions.append(
            "One seed says little: the spread between seeds of one configuration is often larger than "
            "the distance between configurations. Add `seeds: 3` or more."
        )
    if any(1 < found.valid_seeds < MIN_BOOTSTRAP_SEEDS for found in ranked):
        cautions.append(
            f"Bootstrap intervals of fewer than {MIN_BOOTSTRAP_SEEDS} seeds are too narrow: those of medians "
            "and interquartile means. The mean's (Student's) are as wide as they must be."
        )
    partial = [
        f"{found.config_id} ({found.seeds_text})"
        for found in ranked
        if 0 < found.valid_seeds < len(found.trials)
    ]
    if partial:
        cautions.append(
            f"Some seeds have no valid value, which ranks a configuration back: {_some(partial)}."
        )
    if any(found.is_confirmed for found in ranked):
        cautions.append(
            "Confirmed configurations are judged by seeds that the search has not seen; the others by the "
            "seeds that they were chosen with, which flatter them."
        )
    return cautions


def _length_cautions(ranked: list[ConfigurationResult], cut: Cut | None) -> list[str]:
    """Which values stand at fewer env steps than the others'."""
    short = [found.config_id for found in ranked if not found.is_complete]
    if short and cut is not None:
        return [f"Not every trial got as far as the others {cut}: {_some(short)}. They rank behind."]
    if short:
        return [
            f"Not every trial ran to its stop: {_some(short)}. Their last values stand at fewer env "
            "steps than the others'."
        ]
    lengths = [found.env_steps for found in ranked if found.valid_seeds]
    if lengths and min(lengths) < UNEQUAL_LENGTH * max(lengths):
        return [
            f"Trials are of unequal length, {min(lengths):,} to {max(lengths):,} env steps: compare them at "
            f"one point with `--at {min(lengths)}`."
        ]
    return []


def _some(names: list[str]) -> str:
    """The first MAX_NAMES of them, and how many more there are."""
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more:,} more" if more > 0 else "")
