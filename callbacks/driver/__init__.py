"""On the machine that steers the sweep: `ray.tune.Callback`s."""
