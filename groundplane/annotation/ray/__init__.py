"""A job on many machines: the items in shards, the same stages for each, a log for each."""
