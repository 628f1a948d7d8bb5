"""The keys of [attachments]; part of the one table of settings."""

from dataclasses import dataclass

from server.settings.values import Size, option


@dataclass(frozen=True)
class AttachmentSettings:
    """Pictures and text files that prompts bring with them."""

    max_file_size: Size = option(
        Size(10 << 20),
        "Largest attachment. Photographs of phones have 2 to 6 MB.",
        low=1,
    )
    max_pixels: int = option(
        50_000_000,
        "Maximum pixels of a picture, width times height: a small file can hold a picture that "
        "fills a model server's memory. Phones take up to 50 million.",
        low=1,
    )
    max_text_size: Size = option(
        Size(1 << 20),
        "Largest text file. Its characters count for `max_prompt_chars` in [answers] too.",
        low=1,
    )
    max_prompt_size: Size = option(
        Size(20 << 20),
        "Bytes of all attachments of one prompt together, those of earlier turns included: they "
        "are sent again with each prompt and held in memory meanwhile. Requests in OpenAI's form "
        "may be larger than `max_frame_bytes` by this much.",
        low=1,
    )
    max_owner_size: Size = option(
        Size(1 << 30),
        "Bytes of all attachments of one owner. To make room, attachments that belong to no "
        "conversation and were not used for five minutes are deleted, the least recently used "
        "first.",
        low=1,
    )
    max_owner_files: int = option(10_000, "Attachments that one owner may have.", low=1)
    unused_ttl: float = option(
        86_400.0,
        "Seconds that an attachment which belongs to no conversation is kept after its last use. "
        "Where no conversations are stored, attachments are kept in memory, for no longer than "
        "that.",
        low=1,
    )
