"""What schemathesis cannot know by itself: an SDP offer is sent as plain text is. Named in schemathesis.toml."""

from __future__ import annotations

import schemathesis

schemathesis.serializer.alias("application/sdp", "text/plain")
