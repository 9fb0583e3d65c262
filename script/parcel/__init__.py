"""Packs a release; with the standard library alone, so that any machine can do it again and compare."""
