"""How many equal trials a cluster holds at once, and on which nodes: Ray's placement, without Ray."""

from rlsweep.plan.packing.labels import LabelSelector, matches
from rlsweep.plan.packing.miss import Lack, Miss, nearest_miss
from rlsweep.plan.packing.place import Free, Placement, pack, place
from rlsweep.plan.packing.units import Bundle, Node

__all__ = [
    "Bundle",
    "Free",
    "LabelSelector",
    "Lack",
    "Miss",
    "Node",
    "Placement",
    "matches",
    "nearest_miss",
    "pack",
    "place",
]
