"""The keys of [conversations]; part of the one table of settings."""

from dataclasses import dataclass

from server.settings.values import Size, option


@dataclass(frozen=True)
class ConversationSettings:
    """Conversations, stored in a database."""

    enabled: bool = option(True, "Whether conversations are stored.")
    file: str = option(
        "",
        "The database file; empty takes `INSTANCE.conversations` in `state_dir`. Two gateways "
        "cannot share one.",
    )
    max_conversations: int = option(
        10_000,
        "Conversations that one owner may have: more than anybody reads, few enough to list.",
        low=1,
    )
    max_conversation_size: Size = option(
        Size(16 << 20),
        "Characters of one conversation, prompts included: it is sent whole to a page that opens "
        "it.",
        low=1024,
    )
    max_size: Size = option(
        Size(8 << 30),
        "Size of the whole database. Once it is reached, answers go on but are not stored.",
        low=1 << 20,
    )
    keep_for: float = option(
        0.0,
        "Seconds after its last change until a conversation is deleted; 0 keeps it for ever.",
        low=0,
    )
    deleted_ttl: float = option(
        604_800.0,
        "Seconds in which a deleted conversation or vote can be restored.",
        low=0,
    )
