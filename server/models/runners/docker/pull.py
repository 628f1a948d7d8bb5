"""The progress of an image pull, from the messages that the engine sends for each layer.

Rules:

1. A layer is downloaded and then unpacked, and counts by its bytes both times.
2. The engine downloads three layers at a time and reports a layer's size only when it begins.
   Until then a layer counts as the mean of the known sizes, and the text says "about".
3. A layer that exists already does not count. No clock: the time is passed in.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from server.core.protocol import Progress
from server.settings.values import human_size

# The engine sends some ten messages a second for each layer.
_SAY_EVERY_SECONDS: Final = 0.2
# Long enough to smooth out short pauses, short enough to follow a change.
_RATE_WINDOW_SECONDS: Final = 20.0
_MIN_RATE_SECONDS: Final = 2.0

_DOWNLOADED: Final = frozenset({"Verifying Checksum", "Download complete", "Extracting"})


class RemainingTime:
    """Estimate the remaining time of a download from its recent rate."""

    def __init__(self) -> None:
        self._history: deque[tuple[float, int]] = deque()

    def seconds(self, done: int, total: int, now_seconds: float) -> float | None:
        """Return the remaining seconds, None while the rate is unknown."""
        history = self._history
        history.append((now_seconds, done))
        while history[0][0] < now_seconds - _RATE_WINDOW_SECONDS:
            history.popleft()
        seconds = now_seconds - history[0][0]
        rate = (done - history[0][1]) / seconds if seconds >= _MIN_RATE_SECONDS else 0.0
        return round((total - done) / rate, 1) if rate > 0 else None


@dataclass
class _Layer:
    total_bytes: int | None = None
    downloaded_bytes: int = 0
    unpacked_bytes: int = 0
    retry: str = ""


class PullProgress:
    """Follow one pull."""

    def __init__(self, image: str) -> None:
        self._image = image
        self._layers: dict[str, _Layer] = {}
        self._said_at: float | None = None
        self._remaining = RemainingTime()

    def feed(self, message: dict[str, Any], now_seconds: float) -> Progress | None:
        """Add a message; return progress if a report is due."""
        self._read(message)
        if not self._layers:
            return None
        if self._said_at is not None and now_seconds - self._said_at < _SAY_EVERY_SECONDS:
            return None
        self._said_at = now_seconds
        return self._progress(now_seconds)

    def _read(self, message: dict[str, Any]) -> None:
        identity = message.get("id")
        status = str(message.get("status", ""))
        if not identity or status.startswith("Pulling from"):
            return
        if status == "Already exists":
            self._layers.pop(identity, None)
            return
        layer = self._layers.setdefault(identity, _Layer())
        layer.retry = status if status.startswith("Retrying") else ""
        detail = message.get("progressDetail") or {}
        # The containerd store counts seconds while it unpacks.
        counts_bytes = detail.get("units", "") in {"", "bytes"}
        current, total = detail.get("current"), detail.get("total")
        if total and counts_bytes:
            layer.total_bytes = int(total)
        if status == "Downloading" and current is not None and counts_bytes:
            layer.downloaded_bytes = int(current)
        elif status in _DOWNLOADED:
            layer.downloaded_bytes = layer.total_bytes or layer.downloaded_bytes
            if status == "Extracting" and current is not None and counts_bytes:
                layer.unpacked_bytes = int(current)
        elif status == "Pull complete":
            layer.total_bytes = layer.total_bytes or layer.downloaded_bytes
            layer.downloaded_bytes = layer.unpacked_bytes = layer.total_bytes

    def _progress(self, now_seconds: float) -> Progress:
        known = [layer for layer in self._layers.values() if layer.total_bytes is not None]
        downloaded = sum(layer.downloaded_bytes for layer in self._layers.values())
        if not known:
            return Progress("pulling", None, f"pulling {self._image}")
        known_bytes = sum(layer.total_bytes or 0 for layer in known)
        total = known_bytes * len(self._layers) // len(known)
        unpacked = sum(layer.unpacked_bytes for layer in self._layers.values())
        fraction = (downloaded + unpacked) / (2 * total) if total else None
        retry = next((layer.retry for layer in self._layers.values() if layer.retry), "")
        if retry:
            return Progress("pulling", fraction, f"a download broke off: {retry.lower()}")
        if downloaded >= total:
            return Progress("pulling", fraction, f"unpacking {self._image}")
        about = "" if len(known) == len(self._layers) else "about "
        text = f"{human_size(downloaded)} of {about}{human_size(total)}"
        eta_seconds = self._remaining.seconds(downloaded, total, now_seconds)
        return Progress("pulling", fraction, text, eta_seconds)
