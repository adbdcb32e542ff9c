"""Work in a folder: one life cycle for training and measuring; opening runs, users' modules, progress, stopping."""
