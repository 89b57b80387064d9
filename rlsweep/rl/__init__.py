"""Everything that knows RLlib, torch and ALE."""
