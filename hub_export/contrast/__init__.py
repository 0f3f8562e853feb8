"""LatentCLR's training: contrast between what directions do to a generator's features (arXiv:2104.00820)."""
