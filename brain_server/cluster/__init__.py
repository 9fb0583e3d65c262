"""Several brains on one PostgreSQL: one is awake and does everything, the others stand by, warm."""
