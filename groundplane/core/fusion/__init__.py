"""Mixture of features: the features of several towers fused into the tokens of one model."""
