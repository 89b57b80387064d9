"""MiB that a DQN trial's replay buffer grows by while it takes in real transitions of Breakout.

By the memory of the process, before and after: what a buffer says of itself may leave something out. The
buffer is the one that the shipped spec gives a trial, filled by the trial's own env runner at random.
"""

from __future__ import annotations

import argparse
import gc
import resource
import shutil
from pathlib import Path

from benchmarks.measure.stopwatch import report
from benchmarks.measure.work import bench_plan
from rlsweep.rl.algorithms import build_config
from rlsweep.run.session import ray_session

ENV_STEPS_AT_ONCE = 2000
WARM_UP_SAMPLES = 3
MIB = 2**20


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("transitions", type=int)
    transitions = parser.parse_args().transitions
    capacity = f"training.replay_buffer_config.capacity={transitions}"
    with ray_session() as machine:
        trial = bench_plan("dqn", machine, capacity).example
        algorithm = build_config(trial.sweep, trial.seed, trial.resources).build_algo()
        runner, buffer = algorithm.env_runner, algorithm.local_replay_buffer
        for _ in range(WARM_UP_SAMPLES):
            runner.sample(num_timesteps=ENV_STEPS_AT_ONCE, random_actions=True)
        before, added = _resident_mib(), 0
        while added < transitions:
            episodes = runner.sample(num_timesteps=ENV_STEPS_AT_ONCE, random_actions=True)
            added += sum(len(episode) for episode in episodes)
            buffer.add(episodes)
            del episodes
        grown = _resident_mib() - before
        algorithm.stop()
        shutil.rmtree(algorithm.logdir, ignore_errors=True)
    own = getattr(buffer, "nbytes", None)
    report(
        grown,
        transitions=added,
        stored=buffer.get_num_timesteps(),
        buffer=type(buffer).__name__,
        own_mib=own / MIB if own else None,
    )


def _resident_mib() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / MIB


if __name__ == "__main__":
    main()
