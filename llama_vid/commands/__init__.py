"""The commands of `llama-vid`, a module for each group; nothing heavy is imported before a command runs."""
