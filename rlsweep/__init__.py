"""rlsweep: one YAML file -> a Ray Tune sweep of RLlib agents on Atari."""
