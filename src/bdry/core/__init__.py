"""What every method stands on: norms, seeds, segments, the state of a measured model. torch only, no files."""
