"""A folder a study: what one measurement of a network needs."""
