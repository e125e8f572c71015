"""All pairs of many objects: tables in few bytes, and neighbours without a table."""
