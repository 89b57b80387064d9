"""rlsweep: one YAML file -> a Ray Tune sweep of RLlib agents on Atari."""

import os

# torch's OpenMP threads spin after each parallel region by default, on cores that the emulators' threads and
# other trials need: two busy processes on two cores then train twenty times slower (docs/decisions/0007).
# OpenMP reads this when torch is imported, in whichever process that is; a value of the user's own wins.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
