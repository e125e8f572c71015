"""Error bars: intervals, probabilities, possible worlds, what-if."""
