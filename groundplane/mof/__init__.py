"""A language model that sees with a mixture of features: its configuration, model and processor."""
