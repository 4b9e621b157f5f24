"""How a language model's context window is shared out: what is left for frames once everything else has its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from llama_vid.errors import ConfigError

#: Context token and motion token.
PAIR_TOKENS: Final = 2
#: The longest time mark, "[15:04]" or "[9999 min]", in tokens of SmolLM2 (one per digit).
MARK_TOKENS: Final = 7
#: The question and the words around it.
PROMPT_TOKENS: Final = 244
#: Frames that are read again for a question, each with a time mark.
EVIDENCE_FRAMES: Final = 8
#: The longest answer.
ANSWER_TOKENS: Final = 256


@dataclass(frozen=True, slots=True)
class Budget:
    """Shares of a context window, in tokens: `prompt`, `marks`, `evidence`, `answer`, and `frames_tokens` for frames.

    With the usual 8,192 tokens: 244 for the prompt, 420 for an hour of marks, 72 for evidence, 256 for the answer, and
    7,200 for frames, which is 3,600 pairs: one hour at one frame a second. `mark_count` is the most time marks.
    """

    context: int
    prompt: int
    marks: int
    evidence: int
    answer: int
    frames_tokens: int
    mark_count: int

    @property
    def pairs(self) -> int:
        """The most token pairs that memory may hold."""
        return self.frames_tokens // PAIR_TOKENS

    @classmethod
    def for_context(
        cls,
        context_tokens: int,
        *,
        prompt_tokens: int = PROMPT_TOKENS,
        mark_tokens: int = MARK_TOKENS,
        pairs_per_mark: int = 60,
        evidence_frames: int = EVIDENCE_FRAMES,
        answer_tokens: int = ANSWER_TOKENS,
    ) -> Budget:
        """Share out `context_tokens`, with one time mark for each `pairs_per_mark` pairs (a minute at one a second).

        Raises ConfigError if no minute of frames fits.
        """
        evidence = evidence_frames * (PAIR_TOKENS + mark_tokens)
        fixed = prompt_tokens + evidence + answer_tokens
        minute = mark_tokens + PAIR_TOKENS * pairs_per_mark
        minutes, rest = divmod(context_tokens - fixed, minute)
        if minutes < 1:
            raise ConfigError(
                f"a context of {context_tokens} tokens is too small: prompt, evidence and answer take {fixed} and one "
                f"minute of frames {minute}; set context_tokens to {fixed + minute} or more"
            )
        last = max(0, rest - mark_tokens) // PAIR_TOKENS  # a started minute needs its mark too
        marks = minutes + (1 if last else 0)
        return cls(
            context=context_tokens,
            prompt=prompt_tokens,
            marks=marks * mark_tokens,
            evidence=evidence,
            answer=answer_tokens,
            frames_tokens=PAIR_TOKENS * (minutes * pairs_per_mark + last),
            mark_count=marks,
        )
