"""The environment: the old ids of ALE games and what they brought along, and the newest version of others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from rlsweep.errors import Issue
from rlsweep.legacy import keys, values
from rlsweep.legacy.draft import Draft
from rlsweep.legacy.experiment import Experiment, OldKey
from rlsweep.spec.env import ALE_PREFIX


def convert_environment(old: Experiment, new: Draft) -> bool:
    """`env` and what its id brings along; returns whether it is an ALE game."""
    env = old.take("env")
    if not all(isinstance(env_id, str) for env_id in env.values):
        message = "env: an id belongs here" if env.is_written else f"{old.name}: env is missing"
        new.issues.append(Issue(env.where, message, "env: PongNoFrameskip-v4"))
        return False
    games = {env_id: _ale_game(env_id) for env_id in env.values}
    found = [game for game in games.values() if game]
    if not found:
        new.put("env.id", _newest_version, env)
        for key in old.take_all("env_config."):
            new.put(f"env.kwargs.{key.name.removeprefix('env_config.')}", values.same, key)
        return False
    sticky_actions = {game.sticky_actions for game in found}
    if len(found) < len(games) or len(sticky_actions) > 1:
        message = "env: these ids differ in more than the game"
        new.issues.append(Issue(env.where, message, "one experiment for each kind of environment"))
        return False
    _ale_settings(old, new, env, found[0])
    return True


def _ale_settings(old: Experiment, new: Draft, env: OldKey, game: _AleGame) -> None:
    note = "which skipped 2 to 4 frames at random" if game.skips_at_random else ""
    new.put("env.id", _new_ale_id, env, note=note)
    wrapper = "old RLlib's wrapper: no-ops, skip 4, life loss, 84x84 gray, 4 frames, clipped rewards"
    new.write("env.protocol", "dqn", wrapper)
    if game.sticky_actions and not old.look(*keys.NAMES["env.sticky_actions"]).is_written:
        new.write("env.sticky_actions", game.sticky_actions, "the old id's own", env.where)
    frames = old.take(*keys.NAMES["env.frame_skip"])
    note = "where old RLlib's wrapper skipped 4" if 1 in frames.values else ""
    new.rename("env.frame_skip", frames, lambda skip: 4 if skip == 1 else skip, note)


@dataclass(frozen=True)
class _AleGame:
    """What an old id of an ALE game stands for.

    Attributes:
        id: the new id.
        sticky_actions: probability that the emulator repeats an action, which the old id brought along.
        skips_at_random: each step took two to four frames.
    """

    id: str
    sticky_actions: float
    skips_at_random: bool


_ALE_ID = re.compile(
    r"(?:ale_py:)?(ALE/)?(?P<game>\w+?)(?P<skip>NoFrameskip|Deterministic)?-v(?P<version>[045])"
)


def _ale_game(env_id: str) -> _AleGame | None:
    """The game behind `ALE/Pong-v5`, `PongNoFrameskip-v4`, `PongDeterministic-v4` or `Pong-v0`, None for any
    other environment. Versions 0 and 5 have sticky actions (Machado et al. 2018), version 4 has none."""
    found = _ALE_ID.fullmatch(env_id)
    new_id = f"{ALE_PREFIX}{found['game']}-v5" if found else ""
    if found is None or new_id not in _registered_ids():
        return None
    skips_at_random = not found["skip"] and found["version"] != "5"
    return _AleGame(new_id, 0.0 if found["version"] == "4" else 0.25, skips_at_random)


def _new_ale_id(env_id: str) -> str:
    """`PongNoFrameskip-v4` -> `ALE/Pong-v5`; another environment keeps its id."""
    game = _ale_game(env_id)
    return game.id if game else env_id


def _newest_version(env_id: str) -> str:
    """`CartPole-v0` -> `CartPole-v1`: the newest registered version of a Gymnasium environment."""
    prefix = env_id.rpartition("-v")[0] + "-v"
    versions = [known.removeprefix(prefix) for known in _registered_ids() if known.startswith(prefix)]
    return f"{prefix}{max(map(int, found))}" if (found := list(filter(str.isdecimal, versions))) else env_id


@cache
def _registered_ids() -> frozenset[str]:
    import ale_py
    import gymnasium

    gymnasium.register_envs(ale_py)
    return frozenset(gymnasium.registry)
