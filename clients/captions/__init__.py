"""Captions as players want them: cues of two short lines, in WebVTT, SRT, JSON, and as an HLS rendition."""
