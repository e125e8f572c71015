"""Benchmarks: each module reads the benchmark's own files and gives its own table."""
