"""Training of adapters and projectors, with the towers frozen."""
