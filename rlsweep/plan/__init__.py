"""Sweep -> Plan: what will run, on which resources. Pure; needs neither ray nor torch."""

from rlsweep.plan.machine import Machine
from rlsweep.plan.plan import Plan, PlannedTrial, make
from rlsweep.plan.trial_resources import TrialResources

__all__ = ["Machine", "Plan", "PlannedTrial", "TrialResources", "make"]
