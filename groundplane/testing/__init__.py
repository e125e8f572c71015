"""Shipped with the library for plugin authors: contract tests. Import its modules by name."""
