"""One runnable script for each figure in the README; the program is used from outside."""
