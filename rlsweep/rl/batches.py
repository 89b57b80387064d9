"""Episodes -> the train batch, column by column instead of item by item.

For modules without state these two connectors stand for RLlib's default learner pipeline
(AddOneTsToEpisodesAndTruncate, AddObservationsFromEpisodesToBatch, AddColumnsFromEpisodesToTrainBatch,
BatchIndividualItems, NumpyToTensor, GeneralAdvantageEstimation).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.evaluation.postprocessing import Postprocessing
from scipy.signal import lfilter
from torch import Tensor

from rlsweep.rl.cores import parts_of, side_by_side
from rlsweep.rl.fragments import StackedFramesBuffer

VALUE_PASS_ROWS = 1024
"""Observations in one forward pass of the value function; more win nothing and take memory."""

MIN_ADVANTAGE_STD = 1e-4
"""Below it advantages are not scaled up further, as in RLlib's GeneralAdvantageEstimation."""


class EpisodesToBatch(ConnectorV2):
    """One row for each observation of each episode, the last ones included.

    The row of a last observation has no action of its own (it repeats the one before) and its LOSS_MASK is
    False: it is there for the value that bootstraps the return. TERMINATEDS and TRUNCATEDS stand in the row
    of an episode's last transition; a chunk that was cut counts as truncated.
    """

    def __call__(
        self, *, rl_module: Any, batch: dict[str, Any], episodes: Sequence[SingleAgentEpisode], **kwargs: Any
    ) -> Any:
        device = next(rl_module[DEFAULT_MODULE_ID].parameters()).device
        columns = {name: to_device(values, device) for name, values in train_columns(episodes).items()}
        batch[DEFAULT_MODULE_ID] = {Columns.OBS: train_observations(episodes, device), **columns}
        return batch


class Advantages(ConnectorV2):
    """Adds ADVANTAGES (of mean 0 and standard deviation 1 over the batch) and VALUE_TARGETS.

    Generalized advantage estimation (Schulman et al. 2016, eq. 16) with the values that the env runners
    noted as VF_PREDS; the module adds those of the last observations, and all where none are noted. Masked
    rows count for neither mean nor deviation.

    Args:
        gamma: discount.
        lambda_: weight of longer returns.
    """

    def __init__(self, *, gamma: float, lambda_: float) -> None:
        super().__init__()
        self._gamma, self._lambda = gamma, lambda_

    def __call__(self, *, rl_module: Any, batch: dict[str, Any], **kwargs: Any) -> Any:
        columns = batch[DEFAULT_MODULE_ID]
        values = _values(rl_module[DEFAULT_MODULE_ID].unwrapped(), columns)
        mask = columns[Columns.LOSS_MASK].cpu().numpy()
        advantages = generalized_advantages(
            values,
            columns[Columns.REWARDS].cpu().numpy(),
            columns[Columns.TERMINATEDS].cpu().numpy(),
            mask,
            gamma=self._gamma,
            lambda_=self._lambda,
        )
        targets = advantages + values
        valid = advantages[mask]
        scaled = (advantages - valid.mean()) / max(MIN_ADVANTAGE_STD, valid.std())
        device = columns[Columns.OBS].device
        columns[Postprocessing.ADVANTAGES] = to_device(scaled.astype(np.float32), device)
        columns[Postprocessing.VALUE_TARGETS] = to_device(targets.astype(np.float32), device)
        return batch


def train_observations(episodes: Sequence[SingleAgentEpisode], device: torch.device) -> Tensor:
    """(sum(len(episode) + 1), *observation shape); stacks are made out of single frames on the device."""
    buffers = [episode.observations for episode in episodes]
    if not all(isinstance(buffer, StackedFramesBuffer) for buffer in buffers):
        parts = [episode.get_observations(slice(0, len(episode) + 1)) for episode in episodes]
        return to_device(np.concatenate(parts), device)
    frames: list[np.ndarray] = []
    positions: list[np.ndarray] = []
    num_frames, stack = 0, np.arange(buffers[0].data.shape[1])
    for buffer in buffers:
        rows = np.arange(len(buffer.data) - buffer.lookback)
        positions.append(num_frames + rows[:, np.newaxis] + stack)
        frames += buffer.single_frames(buffer.lookback)
        num_frames += len(rows) + len(stack) - 1
    index = to_device(np.concatenate(positions), device)
    single = to_device(np.concatenate(frames), device)
    stacks = single.new_empty((*index.shape, *single.shape[1:]))
    num_parts = parts_of(index)
    pairs = zip(index.tensor_split(num_parts), stacks.tensor_split(num_parts), strict=True)
    side_by_side([partial(_gather, single, part, out) for part, out in pairs])
    return stacks


def train_columns(episodes: Sequence[SingleAgentEpisode]) -> dict[str, np.ndarray]:
    """The columns of `EpisodesToBatch` beside OBS, as arrays of sum(len(episode) + 1) rows.

    Args:
        episodes: numpy-fied, each with at least one env step.
    """
    columns: dict[str, list[np.ndarray]] = {}
    for episode in episodes:
        length = len(episode)
        row = np.arange(length + 1)
        of_episode = {
            Columns.ACTIONS: _with_last_repeated(episode.get_actions(slice(0, length))),
            Columns.REWARDS: np.append(episode.get_rewards(slice(0, length)), 0.0).astype(np.float32),
            Columns.TERMINATEDS: (row == length - 1) & episode.is_terminated,
            Columns.TRUNCATEDS: (row == length - 1) & (not episode.is_terminated),
            Columns.LOSS_MASK: row < length,
        }
        for name in episode.extra_model_outputs:
            outputs = episode.get_extra_model_outputs(name, slice(0, length))
            of_episode[name] = _with_last_repeated(outputs)
        for name, values in of_episode.items():
            columns.setdefault(name, []).append(values)
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def generalized_advantages(
    values: np.ndarray,
    rewards: np.ndarray,
    terminated: np.ndarray,
    mask: np.ndarray,
    *,
    gamma: float,
    lambda_: float,
) -> np.ndarray:
    """Advantages of all rows, 0 where `mask` is False.

    Args:
        values: (rows,) of each observation.
        rewards: (rows,) of the transition out of each observation.
        terminated: (rows,) whether that transition ended the episode for good: nothing bootstraps over it.
        mask: (rows,) False in the row of an episode's last observation, which closes its rows.
        gamma, lambda_: discounts.
    """
    next_values = np.append(values[1:], 0.0) * ~terminated
    residuals = (rewards + gamma * next_values - values) * mask
    advantages = np.zeros(len(values))
    first = 0
    for last in map(int, np.flatnonzero(~mask)):
        backwards = residuals[first:last][::-1]  # A[t] = residual[t] + gamma * lambda * A[t + 1]
        advantages[first:last] = lfilter([1.0], [1.0, -gamma * lambda_], backwards)[::-1]
        first = last + 1
    return advantages


def to_device(values: np.ndarray, device: torch.device) -> Tensor:
    """A tensor on `device`; to a GPU through pinned memory, without waiting for the copy."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def _gather(frames: Tensor, index: Tensor, stacks: Tensor) -> None:
    """Put the frames of each row of `index` (rows, stack) into `stacks` (rows, stack, *frame)."""
    torch.index_select(frames, 0, index.flatten(), out=stacks.flatten(0, 1))


def _values(module: Any, columns: dict[str, Tensor]) -> np.ndarray:
    """Of each row's observation; takes VF_PREDS out of the columns."""
    observations = columns[Columns.OBS]
    noted = columns.pop(Columns.VF_PREDS, None)
    if noted is None:
        values = torch.empty(len(observations), device=observations.device)
        missing = torch.arange(len(observations), device=observations.device)
    else:
        values = noted.clone()
        missing = (~columns[Columns.LOSS_MASK]).nonzero().squeeze(-1)
    with torch.no_grad():
        for rows in torch.split(missing, VALUE_PASS_ROWS):
            values[rows] = module.compute_values({Columns.OBS: observations[rows]})
    return values.cpu().numpy().astype(np.float64)


def _with_last_repeated(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, values[-1:]])
