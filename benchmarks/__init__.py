"""How fast rlsweep trains, as ratios against its peers: `make bench`, `python -m benchmarks --help`.

Nothing here is imported by rlsweep. `benchmarks.measure` holds one program for each measurement; the modules
beside it choose which run, in which order and by which Python, and make the table.
"""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""Of the repository: measurements run there, and find its specs."""
