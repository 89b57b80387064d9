"""Which rows there are, and by which programs their figures are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.verdict import Kind, Row
from rlsweep.errors import UsageError, did_you_mean, nearest

STEPS = "env steps/s"
FRAME_BYTES = 84 * 84
TRANSITIONS = 100_000
MIB = 2**20


@dataclass(frozen=True)
class Candidate:
    """One program that measures a figure.

    Attributes:
        name: of the settings, as words.
        module: below `benchmarks.measure`.
        arguments: of the program, without `--seconds`.
        for_peers: whether it runs in the peers' environment.
        is_timed: whether it takes `--seconds`.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    for_peers: bool = False
    is_timed: bool = True


@dataclass(frozen=True)
class Measurement:
    """One figure of the table.

    Attributes:
        candidates: of several the best one counts, found out in the first round; the later rounds repeat it.
        less_is_better: a duration or a size.
        once: the same in every round: bytes do not vary.
        constant: the figure itself, where nothing is measured.
    """

    candidates: tuple[Candidate, ...] = ()
    less_is_better: bool = False
    once: bool = False
    constant: float | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether a second round would find the same."""
        return self.once or self.constant is not None


def _ours(algorithm: str) -> Measurement:
    return Measurement((Candidate("rlsweep", "ours", (algorithm,)),))


def _stock(algorithm: str, *settings: tuple[int, int], more: tuple[str, ...] = ()) -> Measurement:
    """RLlib with each of several numbers of env runners and environments in each."""
    return Measurement(
        tuple(
            Candidate(
                f"{runners} env runner(s) × {envs}" if runners else f"{envs} env(s) in the main process",
                "stock_rllib",
                (algorithm, "--env-runners", str(runners), "--envs", str(envs), *more),
            )
            for runners, envs in settings
        )
    )


def _sb3(algorithm: str, *settings: tuple[str, int]) -> Measurement:
    names = {"subproc": "SubprocVecEnv", "dummy": "DummyVecEnv"}
    return Measurement(
        tuple(
            Candidate(
                f"{names[kind]} × {envs}",
                "sb3",
                (algorithm, "--vec-env", kind, "--envs", str(envs)),
                for_peers=True,
            )
            for kind, envs in settings
        )
    )


def _turnaround(what: str) -> Measurement:
    return Measurement((Candidate(what, "turnaround", (what,), is_timed=False),), less_is_better=True)


MEASUREMENTS = {
    "ppo": _ours("ppo"),
    "ppo_sb3": _sb3("ppo", ("subproc", 16), ("dummy", 16)),
    "ppo_stock": _stock("ppo", (0, 16), (2, 8)),
    "ppo_same_layers": _stock("ppo", (0, 16), (2, 8), more=("--module", "same-layers")),
    "ppo_envpool": Measurement((Candidate("EnvPool × 16", "envpool_ppo", (), for_peers=True),)),
    "impala": _ours("impala"),
    "impala_stock": _stock("impala", (1, 5), (1, 10), (2, 5)),
    "impala_same_layers": _stock("impala", (1, 5), (1, 10), (2, 5), more=("--module", "same-layers")),
    "appo": _ours("appo"),
    "appo_stock": _stock("appo", (1, 5), (1, 10), (2, 5)),
    "dqn": _ours("dqn"),
    "dqn_stock": _stock("dqn", (0, 1), (0, 4), more=("--stack-in-env",)),
    "dqn_sb3": _sb3("dqn", ("dummy", 1), ("dummy", 4), ("subproc", 4)),
    "sampling": Measurement((Candidate("our env runner", "sampling", ("ours",)),)),
    "sampling_env": Measurement((Candidate("AtariVectorEnv.step", "sampling", ("env",)),)),
    "replay": Measurement(
        (Candidate("our replay buffer", "replay_memory", (str(TRANSITIONS),), is_timed=False),),
        less_is_better=True,
        once=True,
    ),
    "replay_frames": Measurement(constant=TRANSITIONS * FRAME_BYTES / MIB),
    "turnaround": _turnaround("ours"),
    "turnaround_plain": _turnaround("plain"),
}

ROWS = (
    Row("ppo", "PPO", "SB3 PPO", STEPS, "ppo", "ppo_sb3", Kind.SPEED, 2.2, 3),
    Row("ppo", "PPO", "stock RLlib PPO", STEPS, "ppo", "ppo_stock", Kind.SPEED, 4, 6),
    Row("lean", "PPO", "RLlib PPO, our layers", STEPS, "ppo", "ppo_same_layers", Kind.SPEED),
    Row("lean", "IMPALA", "RLlib IMPALA, our layers", STEPS, "impala", "impala_same_layers", Kind.SPEED),
    Row("envpool", "PPO", "one file on EnvPool", STEPS, "ppo", "ppo_envpool", Kind.SPEED),
    Row("impala", "IMPALA", "stock RLlib IMPALA", STEPS, "impala", "impala_stock", Kind.SPEED, 3, 5),
    Row("appo", "APPO", "stock RLlib APPO", STEPS, "appo", "appo_stock", Kind.SPEED, 3, 5),
    Row("dqn", "DQN", "stock RLlib DQN", STEPS, "dqn", "dqn_stock", Kind.SPEED, 5, 10),
    Row("dqn", "DQN", "SB3 DQN", STEPS, "dqn", "dqn_sb3", Kind.SPEED, 1.5, 2.5),
    Row("sampling", "sampling", "native env", STEPS, "sampling", "sampling_env", Kind.SHARE, 0.55, 0.75),
    Row("replay", "replay of 100k", "single frames", "MiB", "replay", "replay_frames", Kind.SIZE, 1.3, 1.1),
    Row("turnaround", "trial turnaround", "Tune", "s", "turnaround", "turnaround_plain", Kind.DURATION, 3, 8),
)

GROUPS = tuple(dict.fromkeys(row.group for row in ROWS))


def chosen_rows(only: str) -> list[Row]:
    """The rows of some groups.

    Args:
        only: names, with commas between them; empty for all.

    Raises:
        UsageError: no group goes by one of the names.
    """
    names = [name.strip() for name in only.split(",") if name.strip()]
    for name in names:
        if name not in GROUPS:
            hint = did_you_mean(nearest(name, GROUPS))
            raise UsageError(f"--only: no row {name!r}; there are: {', '.join(GROUPS)}{hint}")
    if only and not names:
        raise UsageError(f"--only names no row; there are: {', '.join(GROUPS)}")
    return [row for row in ROWS if not names or row.group in names]


def count_programs(rows: Sequence[Row], repeats: int) -> int:
    """Programs that will run: every candidate in the first round, the best ones after."""
    sides = [MEASUREMENTS[key] for row in rows for key in (row.ours, row.theirs)]
    first = sum(len(side.candidates) for side in sides)
    return first + (repeats - 1) * sum(not side.is_fixed for side in sides)
