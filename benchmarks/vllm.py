"""What of a memory's prompt stays the same from one question to the next, and what a real vLLM server makes of it.

    python -m benchmarks.vllm                                  # by counting alone, no server
    python -m benchmarks.vllm --url http://gpu:8000 [--minutes 60] [--every 60]
    scripts/vllm-check                                         # starts `vllm serve` first

A prompt is a memory's layout and a question. vLLM's prefix cache spares the whole blocks that two prompts begin with
alike. Counted here: a camera in which something always moves, asked once in `every` seconds, before its memory is full
and after. Measured with `--url`: the time to the first token through the server and, as the peer in the same run, that
of the local engine; the tokens that the server says it had cached beside those that were counted; and whether both say
the same, token for token.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any, Final

import torch

from llama_vid.bundle import Bundle, load_bundle
from llama_vid.llm.layout import layout, same
from llama_vid.llm.prompt_rows import cached_tokens
from llama_vid.llm.prompts import question_suffix, yes_no_ids
from llama_vid.llm.session import VideoContext
from llama_vid.llm.vllm_context import VllmContext
from llama_vid.llm.vllm_language import VllmLanguage
from llama_vid.llm.vllm_options import BLOCK_TOKENS, VllmOptions
from llama_vid.memory.bank import MemoryBank
from llama_vid.memory.budget import MARK_TOKENS, PAIR_TOKENS, Budget
from llama_vid.memory.consolidation import policy
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair

CONTEXT: Final = 8192
EVERY: Final = 60  # seconds between two questions
HOURS: Final = 4  # the first one fills the memory of 8,192 tokens
SUFFIX: Final = 24  # tokens of a question
ANSWER: Final = 24
QUESTIONS: Final = ("What is happening?", "Where is the man?", "What is on the road?", "Is there a dog?")


@dataclass(frozen=True, slots=True)
class Prefix:
    """Of prompts of `tokens` on average: the share that the prefix cache spares, the median and the least of it, the
    tokens that are read (median and most), and how often a prompt was all new."""

    when: str
    questions: int
    tokens: float
    spared: float
    least: float
    read: float
    most: int
    anew: int


def frames(seconds: int, width: int, pairs: Sequence[TokenPair] = ()) -> Iterator[MemoryEntry]:
    """One entry a second in which something moves: of `pairs` by turns, or of random tokens; a cut every minute."""
    generator = torch.Generator().manual_seed(1)
    for second in range(seconds):
        if pairs:
            one = pairs[second % len(pairs)]
            pair = TokenPair(one.context.clone(), one.motion.clone(), 0.5, held=False, cut=False)
        else:
            context, motion = torch.randn(2, width, generator=generator).unbind()
            pair = TokenPair(context, motion, 0.5, held=False, cut=False)
        embedding = torch.nn.functional.normalize(torch.randn(64, generator=generator), dim=0)
        yield MemoryEntry(float(second), second + 1.0, pair, embedding, energy=0.5, scene=second // 60)


def counted(
    *, context: int = CONTEXT, hours: int = HOURS, every: int = EVERY, block: int = BLOCK_TOKENS
) -> tuple[Prefix, Prefix]:
    """While the memory fills, and once it is full."""
    bank = MemoryBank(Budget.for_context(context), policy(10))
    marks = bank.budget.mark_count
    before: list[Any] = []
    full: list[tuple[int, int]] = []
    filling: list[tuple[int, int]] = []
    for entry in frames(hours * 3600, 8):
        bank.append(entry)
        if int(entry.end) % every:
            continue
        segments = layout(bank.entries, marks=marks)
        common = 0
        for old, new in zip(before, segments, strict=False):
            if not same(old, new):
                break
            common += MARK_TOKENS if isinstance(new, str) else PAIR_TOKENS
        tokens = SUFFIX + sum(MARK_TOKENS if isinstance(each, str) else PAIR_TOKENS for each in segments)
        if before:
            (full if bank.version else filling).append((tokens, cached_tokens(block, common, tokens)))
        before = segments
    return _told("while the memory fills", filling), _told("once it is full", full)


def _told(when: str, rows: Sequence[tuple[int, int]]) -> Prefix:
    shares = [spared / tokens for tokens, spared in rows]
    read = [tokens - spared for tokens, spared in rows]
    return Prefix(
        when, len(rows), round(mean(tokens for tokens, _ in rows)), round(median(shares), 4), round(min(shares), 4),
        median(read), max(read), sum(share < 0.5 for share in shares),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: seconds in memory, tokens of the prompt, cached ones as counted and as the server says, seconds to
    the first token there and here, and whether both answers are the same."""

    seconds: int
    tokens: int
    counted: int
    cached: int | None
    there_s: float
    here_s: float
    same: bool
    answer: str


def real_pairs(bundle: Bundle) -> list[TokenPair]:
    """The pairs of the sample film."""
    from benchmarks.samples import sample_film
    from llama_vid.model import LLaMAVID

    return [entry.pair for entry in LLaMAVID(bundle).open(sample_film(), sound=False).entries]


def asked(bundle: Bundle, remote: VllmLanguage, *, minutes: int, every: int, block: int) -> Iterator[Asked]:
    """A memory that grows, asked both engines."""
    here, there = VideoContext(bundle.language), VllmContext(remote)
    budget = bundle.budget(remote.context)
    bank = MemoryBank(budget, policy(10))
    sent = torch.zeros(0, remote.width)
    for entry in frames(minutes * 60, remote.width, real_pairs(bundle)):
        bank.append(entry)
        if int(entry.end) % every:
            continue
        question = QUESTIONS[int(entry.end) // every % len(QUESTIONS)]
        suffix = remote.embed_text(question_suffix(question))
        here.sync(bank.entries)  # frames are prefilled as they arrive
        there.sync(bank.entries)
        prompt = torch.cat([there._rows.rows, suffix])
        alike = (sent[: len(prompt)] == prompt[: len(sent)]).all(1).cumprod(0).sum() if len(sent) else 0
        sent = prompt
        texts, firsts = [], []
        for context in (there, here):
            began, first, text = time.perf_counter(), None, ""
            for piece in context.generate(suffix, max_tokens=ANSWER, stop=bundle.language.line_ends):
                first = first or (time.perf_counter() if piece else None)
                text += piece
            texts.append(text)
            firsts.append((first or time.perf_counter()) - began)
        yield Asked(
            int(entry.end), len(prompt), cached_tokens(block, int(alike), len(prompt)), remote.line.cached,
            round(firsts[0], 4), round(firsts[1], 4), texts[0] == texts[1], texts[0].strip(),
        )  # fmt: skip


def margins(bundle: Bundle, remote: VllmLanguage) -> float:
    """The largest difference of a yes/no margin between the engines, in nats, over some frames and questions."""
    yes, no = yes_no_ids(remote.tokenize)
    worst = 0.0
    for at, pair in enumerate(real_pairs(bundle)):
        prompt = torch.cat(
            [
                torch.stack((pair.context, pair.motion)).to(remote.dtype),
                remote.embed_text(question_suffix(QUESTIONS[at % len(QUESTIONS)])),
            ]
        )
        (found,) = remote.line.margin([prompt], yes, no).result(60)
        logits = bundle.language.logits(bundle.language.forward(prompt)[-1])
        worst = max(worst, abs(found - float(logits[yes] - logits[no])))
    return worst


def main() -> int:
    """The command line; exits 1 where the engines disagree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--url", help="a vLLM server of the bundle's exported language model")
    parser.add_argument("--model", default="mini", help="the bundle")
    parser.add_argument("--dtype", default="auto", help="what the server computes in: fp32, bf16, fp16")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--every", type=int, default=300, help="seconds between two questions")
    parser.add_argument("--block", type=int, default=BLOCK_TOKENS, help="tokens of a block of the server's cache")
    parser.add_argument("--key-file", type=Path)
    arguments = parser.parse_args()
    for prefix in counted(block=arguments.block):
        print(json.dumps(asdict(prefix)), flush=True)
    if not arguments.url:
        return 0
    key = arguments.key_file.read_text().strip() if arguments.key_file else None
    bundle = load_bundle(arguments.model, dtype=arguments.dtype)
    remote_bundle = load_bundle(
        arguments.model, dtype=arguments.dtype, vllm=VllmOptions(arguments.url, key=key, block_tokens=arguments.block)
    )
    remote = remote_bundle.language
    assert isinstance(remote, VllmLanguage)
    try:
        print(json.dumps(asdict(remote.line.served())), flush=True)
        found = []
        for each in asked(bundle, remote, minutes=arguments.minutes, every=arguments.every, block=arguments.block):
            print(json.dumps(asdict(each)), flush=True)
            found.append(each)
        worst = margins(bundle, remote)
    finally:
        remote.close()
    same_answers = sum(each.same for each in found)
    summary = {
        "questions": len(found), "same": same_answers, "margin_error_nats": round(worst, 4),
        "first_token_s": round(median(each.there_s for each in found), 4),
        "local_first_token_s": round(median(each.here_s for each in found), 4),
        "cached_as_counted": sum(each.cached == each.counted for each in found),
    }  # fmt: skip
    print(json.dumps(summary), flush=True)
    return 0 if same_answers == len(found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
