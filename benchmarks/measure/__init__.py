"""One program for each measurement, a process of its own that prints one JSON line on stdout.

`sb3` and `envpool_ppo` run in the peers' environment and import nothing of rlsweep.
"""
