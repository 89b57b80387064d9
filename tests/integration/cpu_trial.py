"""Trials that Ray gives GPUs which are not there: they are placed by them, and train on the CPU."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar
from unittest.mock import patch

import cpu_trial
from ray import cloudpickle
from ray.tune import PlacementGroupFactory

from rlsweep.cli import main
from rlsweep.plan import Plan, make
from rlsweep.run.launch import launch
from rlsweep.run.trial import Trial, trainable_for
from rlsweep.spec import Sweep


class OnCpu(Trial):
    """Asks for what its plan says, and trains by one without GPUs.

    Attributes:
        asked: the plan with GPUs.
    """

    asked: ClassVar[Plan]

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> PlacementGroupFactory:
        return trainable_for(cls.asked).default_resource_request(config)


def on_cpu(plan: Plan) -> type[Trial]:
    """What `launch` makes trials of."""
    written = plan.sweep.as_written()
    without = Sweep.parse({**written, "resources": {**written.get("resources", {}), "gpus_per_learner": 0}})
    trains = trainable_for(make(without, plan.machine)).plan
    return type("Trial", (OnCpu,), {"plan": trains, "asked": trainable_for(plan).plan})


def run() -> None:
    """The command line, with such trials."""
    cloudpickle.register_pickle_by_value(cpu_trial)  # a cluster's workers do not find this module
    with patch("rlsweep.run.launch.launch", partial(launch, make_trainable=on_cpu)):
        main()
