"""Scene files: the formats that maps are read from and written to."""
