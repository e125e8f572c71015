"""The cognitive map in other forms, scored, aligned, merged and compared."""
