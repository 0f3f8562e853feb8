"""Paired measurements: the same work done two ways, on one machine, in one run."""
