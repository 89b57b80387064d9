"""`Machine`: what Ray can hand out."""

from __future__ import annotations

from dataclasses import dataclass

from rlsweep.plan.packing import LabelSelector, Node, matches


@dataclass(frozen=True)
class Machine:
    """What Ray can hand out, of one machine or of a cluster.

    Attributes:
        nodes: each with its resources, `{"CPU": 8, "GPU": 1}`.
    """

    nodes: tuple[Node, ...]

    @classmethod
    def of(cls, cpus: int, gpus: float) -> Machine:
        """A single machine."""
        return cls((Node("this machine", {"CPU": cpus, "GPU": gpus}),))

    @property
    def cpus(self) -> int:
        """CPUs of all nodes."""
        return int(sum(node.resources.get("CPU", 0) for node in self.nodes))

    @property
    def gpus(self) -> float:
        """GPUs of all nodes."""
        return sum(node.resources.get("GPU", 0) for node in self.nodes)

    def where(self, selector: LabelSelector) -> Machine:
        """The nodes with certain labels alone."""
        conditions = tuple(selector.items())
        return Machine(tuple(node for node in self.nodes if matches(conditions, node.labels)))

    @property
    def cpus_of_largest_node(self) -> int:
        """What one bundle can have at most."""
        return int(max((node.resources.get("CPU", 0) for node in self.nodes), default=0))
