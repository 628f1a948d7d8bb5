"""Server-sent events as bytes: one `data:` line of JSON each, as TGI and OpenAI write them."""

from typing import Final

import msgspec

COMMENT: Final = b":\n\n"
"""What a client overlooks, and what shows everything in between that the stream lives."""

DONE: Final = b"data: [DONE]\n\n"
"""OpenAI's end of a stream."""

_encoder = msgspec.json.Encoder()


def event(data: object) -> bytes:
    """Write one event; JSON escapes line ends, so the data is one line."""
    return b"data: " + _encoder.encode(data) + b"\n\n"
