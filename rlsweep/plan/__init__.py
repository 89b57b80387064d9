"""Sweep -> Plan: what will run, on which resources. Pure; needs neither ray nor torch."""

from rlsweep.plan.plan import Plan, PlannedTrial, make
from rlsweep.plan.resources import Machine, TrialResources

__all__ = ["Machine", "Plan", "PlannedTrial", "TrialResources", "make"]
