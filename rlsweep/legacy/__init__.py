"""The old form, `rllib train -f` (RLlib 0.7 to 2.x) -> our specs, as YAML text with comments.

    my-experiment:
        env: {grid_search: [PongNoFrameskip-v4, QbertNoFrameskip-v4]}
        run: PPO
        stop: {timesteps_total: 10000000}
        config: {num_workers: 8, lambda: 0.95, model: {dim: 42}}

A new spec is first plain data in which every value keeps the place of the old key that it comes from. So the
loader's own checks judge it, and what they find is reported where it stands in the old file. What changed its
name is said beside the new key, what has no place any more at the end; nothing is lost in silence.
"""

from rlsweep.legacy.convert import ConvertedSpec, convert, convert_file

__all__ = ["ConvertedSpec", "convert", "convert_file"]
