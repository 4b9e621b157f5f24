"""The tokenizer of a Llama model's folder: tokenizer.json, or made from SentencePiece's tokenizer.model.

Older checkpoints (Vicuna, LLaMA-VID) have the second alone. Its pieces and their order are all that a byte-pair
encoding needs; the file is converted once and kept in the cache beside converted weights.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from tokenizers import AddedToken, Tokenizer, decoders, normalizers
from tokenizers.models import BPE

from llama_vid.errors import BundleError
from llama_vid.llm.converted import cache_folder, prepared

JSON, MODEL = "tokenizer.json", "tokenizer.model"
#: Kinds of pieces in SentencePiece's own numbering.
UNKNOWN, CONTROL, BYTE = 2, 3, 6
SPACE: Final = "▁"


def llama_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model's folder. Raises BundleError if there is none or it is damaged."""
    if (folder / JSON).is_file():
        path = folder / JSON
    elif (folder / MODEL).is_file():
        data = (folder / MODEL).read_bytes()
        key = hashlib.sha256(data).hexdigest()[:16]
        path = prepared(cache_folder() / "tokenizer" / key, lambda fresh: _convert(folder / MODEL, data, fresh)) / JSON
    else:
        raise BundleError(f"{folder} has no tokenizer: neither {JSON} nor {MODEL}; fetch the whole checkpoint")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as problem:  # tokenizers raises bare Exception for a damaged file
        raise BundleError(f"{path} cannot be read as a tokenizer ({problem}); fetch it again") from None


def _convert(path: Path, data: bytes, folder: Path) -> None:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from transformers.tokenization_utils_base import generate_merges
    from transformers.utils import sentencepiece_model_pb2_new as messages

    told: Any = messages.ModelProto()  # type: ignore[attr-defined]
    try:
        told.ParseFromString(data)
    except DecodeError as problem:
        raise BundleError(f"{path} cannot be read as a SentencePiece model ({problem}); fetch it again") from None
    pieces = list(told.pieces)
    if not pieces or told.trainer_spec.model_type != told.trainer_spec.BPE:
        raise BundleError(f"{path} holds no byte-pair encoding, which Llama models have; fetch the right tokenizer")
    vocabulary = {piece.piece: number for number, piece in enumerate(pieces)}
    apart = {piece.piece for piece in pieces if piece.type in (UNKNOWN, CONTROL, BYTE)}
    merges: Any = generate_merges(vocabulary, skip_tokens=apart)
    unknown = next((piece.piece for piece in pieces if piece.type == UNKNOWN), None)
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = [piece.piece for piece in pieces if piece.type in (UNKNOWN, CONTROL)]
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in special])
    tokenizer.save(str(folder / JSON))
