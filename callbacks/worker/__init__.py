"""Inside a trial: `RLlibCallback`s."""
