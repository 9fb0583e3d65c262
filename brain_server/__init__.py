"""The brain of KITTY: one process, one gate, one file per device driver."""

__version__ = "0.1.0"
