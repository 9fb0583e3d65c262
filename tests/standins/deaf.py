"""A process that takes every question, answers none, and does not go when nobody speaks to it any more."""

import time

if __name__ == "__main__":
    time.sleep(60)
