"""The command line as a user meets it: output, messages, exit codes, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def rlsweep(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from rlsweep.cli import main; main()", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_validate_answers_in_one_line() -> None:
    done = rlsweep("validate", "breakout_lr.yaml", "--profile", "smoke")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "breakout_lr: valid; 2 configurations x 1 seeds\n"


def test_plan_as_json() -> None:
    done = rlsweep("plan", "pong_impala.yaml", "--cpus", "4", "--json")
    plan = json.loads(done.stdout)
    assert len(plan["trials"]) == 16
    assert plan["work"]["most_env_steps"] == 160_000_000
    assert plan["env_steps"] == 16 * (2_000_000 + 6_000_000 // 4 + 2_000_000 // 16)  # asha's rungs
    assert plan["trials"][0]["bundles"] == [{"CPU": 1}, {"CPU": 1}]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (["validate", "nowhere.yaml"], 2, "no such spec"),
        (["validate", "breakout_lr.yaml", "--profile", "smoky"], 2, "did you mean 'smoke'?"),
        (["run", "breakout_lr.yaml", "--set", "training.lrr=1"], 2, "did you mean 'lr'?"),
        (["run", "breakout_lr.yaml", "--set", "env.id=ALE/Brekout-v5"], 2, "'ALE/Breakout-v5'"),
        (["run", "breakout_lr.yaml", "--set", "algorithm=sac"], 2, "allowed: ppo, appo, impala, dqn"),
        (
            ["plan", "breakout_lr.yaml", "--set", "resources.gpus_per_learner=1"],
            4,
            "--set resources.gpus_per_learner=1: one trial can never start",
        ),
        (
            ["plan", "breakout_ppo_reference.yaml", "--cpus", "2"],
            4,
            "breakout_ppo_reference.yaml:39:13: one trial",
        ),
        (["report", "nothing", "--storage", "/nonexistent"], 2, "no run 'nothing'"),
        (["rollout", "nothing", "--storage", "/nonexistent"], 2, "no run 'nothing'"),
        (["best", "nothing", "--storage", "/nonexistent"], 2, "no run 'nothing'"),
        (["rollout", "x", "--games", "0"], 2, "equal to 1"),
        (["frobnicate"], 2, "No such command"),
        (["validate", "a" * 5000], 2, "no such spec"),
        (["rollout", "x", "--seed", "-1"], 2, "greater than or equal to 0"),
        (["plan", "breakout_lr.yaml", "--cpus", "0"], 2, "equal to 1"),
        (
            ["validate", "breakout_lr.yaml", "--set", "objective.metric=scor"],
            2,
            "no row has a key 'scor'",
        ),
    ],
)
def test_a_mistake_has_its_message_and_exit_code(arguments: list[str], exit_code: int, said: str) -> None:
    done = rlsweep(*arguments)
    assert done.returncode == exit_code, done.stderr
    assert said in done.stderr
    assert done.stdout == ""


def test_a_missing_gpu_falls_back_where_that_is_asked_for() -> None:
    done = rlsweep(
        "plan", "breakout_lr.yaml", "--set", "resources={gpus_per_learner: 1, gpus: auto}", "--json"
    )
    assert json.loads(done.stdout)["trials"][0]["bundles"] == [{"CPU": 1}]


def test_help_lists_every_command() -> None:
    done = rlsweep("--help")
    assert done.returncode == 0
    for command in ("validate", "plan", "run", "report", "best", "rollout", "ui"):
        assert command in done.stdout
