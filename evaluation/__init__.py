"""Our own question sets and figures; the program is used from outside."""
