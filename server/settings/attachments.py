"""The keys of [attachments]; part of the one table of settings."""

from dataclasses import dataclass

from server.settings.values import Size, option


@dataclass(frozen=True)
class AttachmentSettings:
    """Pictures and text files that are given to models."""

    max_file_size: Size = option(
        Size(10 << 20),
        "Largest attachment. Photographs of phones have 2 to 6 MB.",
        low=1,
    )
    max_pixels: int = option(
        50_000_000,
        "Most pixels of a picture, width times height: a small file can be a picture that fills a "
        "model server's memory. Phones take up to 50 million.",
        low=1,
    )
    max_text_size: Size = option(
        Size(1 << 20),
        "Largest text file. Its characters count for `max_prompt_chars` in [answers] too.",
        low=1,
    )
    max_prompt_size: Size = option(
        Size(20 << 20),
        "Bytes that the attachments of one prompt may have together, those of earlier turns "
        "included: they are sent again with each, and held in memory meanwhile. Requests in "
        "OpenAI's form may be so much larger than `max_frame_bytes`.",
        low=1,
    )
    max_owner_size: Size = option(
        Size(1 << 30),
        "Bytes of all attachments of one owner. Those that no conversation has make room, the "
        "least recently used first.",
        low=1,
    )
    max_owner_files: int = option(10_000, "Attachments that one owner may have.", low=1)
    unused_ttl: float = option(
        86_400.0,
        "Seconds after its last use that an attachment is kept which belongs to no conversation. "
        "Without conversations it is kept in memory for no longer than that.",
        low=1,
    )
