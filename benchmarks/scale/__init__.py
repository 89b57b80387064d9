"""A sweep of a hundred nodes, simulated: rlsweep, Tune and Ray are real, the training is a formula."""
