"""An event in a plain sentence: the rule's own words, and what the picture shows or what was said."""

from __future__ import annotations

from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.words import sentence


def seen_text(rule: Rule, picture: str) -> str:
    """ "a dog", "A dog runs on the grass." -> "Seen: a dog. A dog runs on the grass." """
    said = f"Seen: {rule.when.strip().rstrip('.')}."
    return f"{said} {sentence(picture)}" if picture else said


def heard_text(phrase: str, line: str) -> str:
    """ "help", "can you help me" -> 'Heard: help. "can you help me"'"""
    return f'Heard: {phrase.strip().rstrip(".")}. "{" ".join(line.split())}"'
