"""The keys of [conversations]; part of the one table of settings."""

from dataclasses import dataclass

from server.settings.values import Size, option


@dataclass(frozen=True)
class ConversationSettings:
    """What was said, kept in a database."""

    enabled: bool = option(True, "Whether conversations are kept.")
    file: str = option(
        "",
        "The database. Empty: `INSTANCE.conversations` in `state_dir`. No two gateways can have "
        "the same.",
    )
    max_conversations: int = option(
        10_000,
        "Conversations that one owner may have: more than anybody reads, few enough to list.",
        low=1,
    )
    max_conversation_size: Size = option(
        Size(16 << 20),
        "Characters that one conversation may have, what was asked included: it is sent whole to "
        "a page that opens it.",
        low=1024,
    )
    max_size: Size = option(
        Size(8 << 30),
        "Size of the whole database; when it is reached, answers go on and are not kept.",
        low=1 << 20,
    )
    keep_for: float = option(
        0.0,
        "Seconds after its last change after which a conversation is deleted; 0 keeps it for ever.",
        low=0,
    )
    deleted_ttl: float = option(
        604_800.0,
        "Seconds for which a conversation or a vote that was deleted can be restored.",
        low=0,
    )
