"""`env:` of a spec: which game, and every preprocessing choice with its source."""

from __future__ import annotations

from functools import cache, cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from rlsweep.errors import did_you_mean, nearest
from rlsweep.spec.model import SpecModel
from rlsweep.spec.quantities import Frames

PositiveInt = Annotated[int, Field(gt=0)]
ProtocolName = Literal["dqn", "machado"]

ALE_PREFIX = "ALE/"


class AtariSettings(SpecModel):
    """Every choice between the emulator and the learner, none left open.

    Attributes:
        frame_skip: emulator frames per action; the last two are max-pooled.
        frame_stack: frames in one observation.
        resolution: height and width of a frame in pixels.
        grayscale: one luminance channel instead of RGB.
        sticky_actions: probability that the emulator repeats the previous action.
        noop_max: most no-ops played at the start of a game (their number is drawn uniformly).
        full_action_space: all 18 actions instead of the game's minimal set.
        terminal_on_life_loss: the learner sees an end of episode at each lost life.
        clip_rewards: the learner sees the sign of each reward.
        max_frames: a game is cut (truncated) after so many frames.
    """

    frame_skip: PositiveInt
    frame_stack: PositiveInt
    resolution: tuple[PositiveInt, PositiveInt]
    grayscale: bool
    sticky_actions: float
    noop_max: int
    full_action_space: bool
    terminal_on_life_loss: bool
    clip_rewards: bool
    max_frames: Frames


PROTOCOLS: dict[str, AtariSettings] = {
    # Mnih et al. 2015, "Human-level control through deep reinforcement learning", Methods and Extended
    # Data Table 1; 108,000 frames (half an hour of play) as in Hessel et al. 2018 and OpenAI Baselines.
    "dqn": AtariSettings(
        frame_skip=4,
        frame_stack=4,
        resolution=(84, 84),
        grayscale=True,
        sticky_actions=0.0,
        noop_max=30,
        full_action_space=False,
        terminal_on_life_loss=True,
        clip_rewards=True,
        max_frames=108_000,
    ),
    # Machado et al. 2018, "Revisiting the Arcade Learning Environment", section 5: sticky actions, the
    # full action set, no life-loss signal, no no-op starts, frame skip 5, games of five minutes.
    "machado": AtariSettings(
        frame_skip=5,
        frame_stack=4,
        resolution=(84, 84),
        grayscale=True,
        sticky_actions=0.25,
        noop_max=0,
        full_action_space=True,
        terminal_on_life_loss=False,
        clip_rewards=True,
        max_frames=18_000,
    ),
}


class RewardSpec(SpecModel):
    """`env.reward`: what the learner is given: `scale` x reward (clipped, where rewards are) + the terms.
    The score of a game is that of the environment's own rewards.

    Attributes:
        scale: factor of every reward.
        step: added in every env step.
        life_loss: added where a life is lost, the last one too (ALE games).
    """

    scale: float = 1.0
    step: float = 0.0
    life_loss: float = 0.0


class EnvSpec(SpecModel):
    """`env:` as written. Settings left out take the value of the protocol (`dqn` by default).

    Attributes:
        id: `ALE/<Game>-v5`, or the id of any other Gymnasium environment.
        protocol: the named set of defaults for an ALE game.
        mode, difficulty: ALE game mode and difficulty switch; None is the game's own default.
        frame_stack_by: `env` stacks in the emulator's process, `connector` by RLlib's FrameStacking
            ConnectorV2 pieces (one frame travels instead of a stack).
        reward: terms beside the environment's own rewards.
        kwargs: constructor arguments of a Gymnasium environment that is not an ALE game.
    """

    id: str
    protocol: ProtocolName | None = None
    frame_skip: PositiveInt | None = None
    frame_stack: PositiveInt | None = None
    resolution: PositiveInt | tuple[PositiveInt, PositiveInt] | None = None
    grayscale: bool | None = None
    sticky_actions: Annotated[float, Field(ge=0, lt=1)] | None = None
    noop_max: Annotated[int, Field(ge=0)] | None = None
    full_action_space: bool | None = None
    terminal_on_life_loss: bool | None = None
    clip_rewards: bool | None = None
    max_frames: Frames | None = None
    mode: Annotated[int, Field(ge=0)] | None = None
    difficulty: Annotated[int, Field(ge=0)] | None = None
    frame_stack_by: Literal["env", "connector"] | None = None
    reward: RewardSpec | None = None
    kwargs: dict[str, Any] = Field(default_factory=dict)

    @property
    def is_atari(self) -> bool:
        return self.id.startswith(ALE_PREFIX)

    @property
    def stacks_by_connector(self) -> bool:
        return self.frame_stack_by == "connector"

    @property
    def frames_per_env_step(self) -> int:
        """Emulator frames in one env step; 1 where there is no emulator."""
        return self.atari.frame_skip if self.is_atari else 1

    @cached_property
    def atari(self) -> AtariSettings:
        """The settings of an ALE game with the protocol's defaults filled in."""
        defaults = PROTOCOLS[self.protocol or "dqn"]
        written = {
            name: value for name in AtariSettings.model_fields if (value := getattr(self, name)) is not None
        }
        if isinstance(self.resolution, int):
            written["resolution"] = (self.resolution, self.resolution)
        return AtariSettings.model_validate(defaults.model_dump() | written)

    @field_validator("id")
    @classmethod
    def _known(cls, env_id: str) -> str:
        return _known_id(env_id)

    @model_validator(mode="after")
    def _atari_settings_only_for_atari(self) -> EnvSpec:
        only_atari = (*AtariSettings.model_fields, "protocol", "mode", "difficulty", "frame_stack_by")
        if not self.is_atari:
            written = [name for name in only_atari if getattr(self, name) is not None]
            if written:
                raise ValueError(f"{', '.join(written)}: only an ALE game has this, {self.id} is none")
            if self.reward is not None and self.reward.life_loss:
                raise ValueError(f"reward.life_loss: only an ALE game has lives, {self.id} has none")
        elif self.kwargs:
            raise ValueError("kwargs are for other environments: an ALE game has its settings by name")
        if self.stacks_by_connector and not self.atari.grayscale:
            raise ValueError("frame_stack_by: connector stacks grayscale frames only")
        return self


@cache
def _known_id(env_id: str) -> str:
    import ale_py
    import gymnasium

    env_id = env_id.removeprefix("ale_py:")
    if ":" in env_id:  # Gymnasium's own `module:id`: known only once the module is imported
        return env_id
    gymnasium.register_envs(ale_py)
    games = [known for known in gymnasium.registry if known.startswith(ALE_PREFIX)]
    if env_id in games:
        return env_id
    spec = gymnasium.registry.get(env_id)
    if spec is not None and "ale_py" not in str(spec.entry_point):
        return env_id
    if spec is not None:  # BreakoutNoFrameskip-v4 and its kin bake preprocessing into the id
        guess = nearest(f"ALE/{env_id.split('-')[0].removesuffix('NoFrameskip')}-v5", games)
        raise ValueError(f"{env_id!r} is an old id of an ALE game{did_you_mean(guess)}")
    others = [name for name, known in gymnasium.registry.items() if "ale_py" not in str(known.entry_point)]
    is_game = env_id.startswith(ALE_PREFIX)
    guess = nearest(env_id if is_game else f"{ALE_PREFIX}{env_id}", games)
    guess = guess if is_game else nearest(env_id, [*others, guess.removeprefix(ALE_PREFIX)])
    guess = f"{ALE_PREFIX}{guess}" if f"{ALE_PREFIX}{guess}" in games else guess
    raise ValueError(f"no game or environment {env_id!r}; allowed: any Gymnasium id{did_you_mean(guess)}")
