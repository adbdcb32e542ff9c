"""The images of runs for the report, until these move to its own room."""
