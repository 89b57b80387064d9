"""YAML -> Sweep: frozen, checked objects. Needs neither ray nor torch."""

from rlsweep.spec.env import EnvSpec
from rlsweep.spec.load import LoadedSpec, load, load_all_profiles
from rlsweep.spec.network import CnnSpec, ImpalaResnetSpec, MlpSpec, NatureCnnSpec, NetworkSpec
from rlsweep.spec.parameters import Distribution
from rlsweep.spec.resources import ResourceSpec
from rlsweep.spec.scheduling import (
    AshaSpec,
    BudgetSpec,
    FifoSpec,
    HyperbandSpec,
    MedianSpec,
    Pb2Spec,
    PbtSpec,
    StopSpec,
)
from rlsweep.spec.search import ConfirmSpec, ObjectiveSpec, SearchSpec
from rlsweep.spec.sweep import (
    ASYNCHRONOUS,
    Algorithm,
    CheckpointSpec,
    EvaluationSpec,
    Sweep,
)
from rlsweep.spec.values import with_values

__all__ = [
    "ASYNCHRONOUS",
    "Algorithm",
    "AshaSpec",
    "BudgetSpec",
    "CheckpointSpec",
    "CnnSpec",
    "ConfirmSpec",
    "Distribution",
    "EnvSpec",
    "EvaluationSpec",
    "FifoSpec",
    "HyperbandSpec",
    "ImpalaResnetSpec",
    "LoadedSpec",
    "MedianSpec",
    "MlpSpec",
    "NatureCnnSpec",
    "NetworkSpec",
    "ObjectiveSpec",
    "Pb2Spec",
    "PbtSpec",
    "ResourceSpec",
    "SearchSpec",
    "StopSpec",
    "Sweep",
    "load",
    "load_all_profiles",
    "with_values",
]
