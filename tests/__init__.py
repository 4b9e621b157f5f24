"""Tests mirror the folders; `tests/peers` starts the real servers and browsers that some of them talk to."""
