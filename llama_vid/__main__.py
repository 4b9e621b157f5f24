"""`python -m llama_vid` is the command `llama-vid`."""

from __future__ import annotations

from llama_vid.cli import main

if __name__ == "__main__":
    main()
