"""YAML -> Sweep: frozen, checked objects. Needs neither ray nor torch."""

from rlsweep.spec.env import EnvSpec
from rlsweep.spec.load import LoadedSpec, load
from rlsweep.spec.network import CnnSpec, ImpalaResnetSpec, MlpSpec, NatureCnnSpec, NetworkSpec
from rlsweep.spec.parameters import Distribution
from rlsweep.spec.sweep import (
    Algorithm,
    AshaSpec,
    CheckpointSpec,
    EvaluationSpec,
    FifoSpec,
    ObjectiveSpec,
    ResourceSpec,
    SearchSpec,
    StopSpec,
    Sweep,
)
from rlsweep.spec.values import with_values

__all__ = [
    "Algorithm",
    "AshaSpec",
    "CheckpointSpec",
    "CnnSpec",
    "Distribution",
    "EnvSpec",
    "EvaluationSpec",
    "FifoSpec",
    "ImpalaResnetSpec",
    "LoadedSpec",
    "MlpSpec",
    "NatureCnnSpec",
    "NetworkSpec",
    "ObjectiveSpec",
    "ResourceSpec",
    "SearchSpec",
    "StopSpec",
    "Sweep",
    "load",
    "with_values",
]
