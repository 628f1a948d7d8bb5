"""Content for browsers: compressed once, cached by `ETag`."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from aiohttp import hdrs, web

# Where the address changes with the content.
FOR_EVER: Final = "public, max-age=31536000, immutable"
# The browser caches it, and revalidates it each time.
ASK_AGAIN: Final = "no-cache"


@dataclass(frozen=True)
class Content:
    """Bytes with a content type and a caching rule."""

    body: bytes
    content_type: str
    cache_control: str

    @cached_property
    def gzipped(self) -> bytes:
        """Return the body compressed, always to the same bytes."""
        return gzip.compress(self.body, compresslevel=9, mtime=0)

    @cached_property
    def tag(self) -> str:
        """Return the content's hash, for the `ETag`."""
        return hashlib.sha256(self.body).hexdigest()[:16]

    def answer(self, request: web.Request) -> web.Response:
        """Respond with the content, compressed if the client accepts that, or with 304."""
        headers = {
            hdrs.CACHE_CONTROL: self.cache_control,
            # Weak, since both encodings share it.
            hdrs.ETAG: f'W/"{self.tag}"',
            hdrs.VARY: hdrs.ACCEPT_ENCODING,
        }
        known = request.if_none_match or ()
        if any(tag.value in {self.tag, "*"} for tag in known):
            return web.Response(status=304, headers=headers)
        headers[hdrs.CONTENT_TYPE] = self.content_type
        if not takes_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
            return web.Response(body=self.body, headers=headers)
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        return web.Response(body=self.gzipped, headers=headers)


def takes_gzip(accepted: str) -> bool:
    """Tell whether `Accept-Encoding` accepts gzip, with a weight above 0."""
    for choice in accepted.lower().split(","):
        name, _, weight = choice.partition(";")
        if name.strip() in {"gzip", "*"}:
            return weight.replace(" ", "").rstrip("0.") != "q="
    return False
