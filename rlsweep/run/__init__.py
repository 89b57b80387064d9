"""Effects: Ray, Tune, checkpoints, exports, rollouts."""
