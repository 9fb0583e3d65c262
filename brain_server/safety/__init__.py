"""The gate: who may do what, where, and what was done."""
