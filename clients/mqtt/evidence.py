"""Evidence pictures that fit into what the broker takes."""

from __future__ import annotations

import io
from typing import Final

from PIL import Image

#: Below this nothing is to be seen any more: the picture is left out.
SMALLEST: Final = 64


def fitting(jpeg: bytes, limit: int | None) -> bytes | None:
    """A JPEG of at most `limit` bytes (None: any size), made smaller where it has to be; None where that is no use."""
    if limit is None or len(jpeg) <= limit:
        return jpeg
    try:
        with Image.open(io.BytesIO(jpeg)) as opened:
            picture = opened.convert("RGB")
    except OSError:
        return None
    while min(picture.size) >= SMALLEST:
        for quality in (75, 50):
            out = io.BytesIO()
            picture.save(out, "JPEG", quality=quality)
            if out.tell() <= limit:
                return out.getvalue()
        picture = picture.resize((picture.width * 2 // 3, picture.height * 2 // 3))
    return None
