"""A file that is to be imported: whose it is, and the conversations in it.

It is an export of ours, or of ChatGPT or Open WebUI; each as one conversation or as a list of them.
The whole file is read and checked before anything of it is stored: all of it is imported, or
nothing. A large list is taken apart first, so that no step holds up the event loop for long.
"""

import codecs
import contextlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from server.archive.foreign import chatgpt, open_webui
from server.archive.foreign.message_tree import LEFT_OUT, Kind, Talk, conversation_of
from server.archive.imports import read_export
from server.archive.refusals import in_words, not_json
from server.archive.shapes import Conversation, ImportSource, LeftOut
from server.archive.writing import size_of
from server.core.attachments import AttachmentLimits
from server.core.errors import ConversationLimit, InvalidCommand

Json = bytes | msgspec.Raw

_NAMES: Final[dict[ImportSource, str]] = {
    "sidestream": "Sidestream",
    "chatgpt": "ChatGPT",
    "open_webui": "Open WebUI",
}
# As many as an import of ours may have.
_MOST_PARTS: Final = 20_000
# Half of a character that JSON writes in two, which tools write when they cut a text.
_LONE_SURROGATE: Final = re.compile(
    rb"(?<!\\)((?:\\\\)*)(?:(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_FIELDS_SHOWN: Final = 6

_several = msgspec.json.Decoder(list[msgspec.Raw])
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_chatgpt = msgspec.json.Decoder(chatgpt.Exported)
_open_webui = msgspec.json.Decoder(open_webui.Exported)


@dataclass
class Imported:
    """What a file has."""

    source: ImportSource
    conversations: list[Conversation] = field(default_factory=list)
    counts: Counter[Kind] = field(default_factory=Counter)

    @property
    def left_out(self) -> list[LeftOut]:
        """Return what is not taken over, in words."""
        return [
            LeftOut(kind, count, f"{count} {words[count > 1]}")
            for kind, words in LEFT_OUT.items()
            if (count := self.counts[kind])
        ]


def read_file(body: bytes, *, max_size: int, attachments: AttachmentLimits) -> Imported:
    """Return the conversations of a file, and whose it is.

    Raises `InvalidCommand` with what is wrong and where, or `ConversationLimit` for a conversation
    of more than `max_size` characters.
    """
    body = body.removeprefix(codecs.BOM_UTF8)  # as some editors save it
    is_list = body[:1_000].lstrip()[:1] == b"["
    parts: list[Json] = _decoded(_several, body) if is_list else [body]
    if not parts:
        raise InvalidCommand("the file is an empty list: there are no conversations in it")
    found = Imported(_source_of(parts, is_list=is_list))
    for number, part in enumerate(parts):
        place = f"$[{number}]" if is_list else "$"
        conversation = _read(bytes(part), found, place, attachments, max_size)
        if conversation is not None:
            found.conversations.append(conversation)
    if not found.conversations:
        raise InvalidCommand("there are no messages in this file")
    return found


def _source_of(parts: list[Json], *, is_list: bool) -> ImportSource:
    """Return whose export it is; raises `InvalidCommand` with what was found instead."""
    fields: dict[str, msgspec.Raw] = {}
    first = bytes(parts[0])
    with contextlib.suppress(msgspec.ValidationError):  # a number, text or a list
        fields = _decoded(_fields, first)
    if "mapping" in fields:
        return "chatgpt"
    if "chat" in fields:
        return "open_webui"
    if {"format", "conversation"} & fields.keys():
        return "sidestream"
    if fields:
        named = ", ".join(f"`{name[:40]}`" for name in [*fields][:_FIELDS_SHOWN])
        what = f"an object with the field{'s' if len(fields) > 1 else ''} {named}"
    else:
        what = "an object without fields" if first.lstrip()[:1] == b"{" else "no object"
    if is_list:
        what = f"a list of {len(parts):,}, the first of which is {what}"
    raise InvalidCommand(
        f"this is not a Sidestream export, nor one of ChatGPT or Open WebUI: it is {what}",
        hint="ChatGPT's export is a ZIP archive with `conversations.json` in it; Open WebUI's is "
        "made in its settings, under Chats; ours in a chat's menu, as JSON",
    )


def _read(
    part: bytes, found: Imported, place: str, attachments: AttachmentLimits, max_size: int
) -> Conversation | None:
    """Return a conversation, or None where one has no messages."""

    def read_ours() -> Conversation:
        conversation, named = read_export(part, max_size=max_size, attachments=attachments)
        found.counts.update("pictures" if one.kind == "image" else "files" for one in named)
        return conversation

    def read() -> Conversation | None:
        talk: Talk
        if found.source == "chatgpt":
            talk = chatgpt.read_chatgpt(_decoded(_chatgpt, part), found.counts)
        else:
            exported = _decoded(_open_webui, part)
            talk = open_webui.read_open_webui(exported, found.counts, attachments)
        if all(one.role == "other" for one in talk.said):
            found.counts["empty"] += 1
            return None
        conversation = conversation_of(talk, place)
        if size_of(conversation) > max_size or len(talk.said) > _MOST_PARTS:
            raise ConversationLimit(
                f"a conversation may have {max_size} characters and {_MOST_PARTS} messages",
                hint="raise `max_conversation_size` in [conversations]",
            )
        return conversation

    return _told(read_ours if found.source == "sidestream" else read, found, place)


def _told(
    read: Callable[[], Conversation | None], found: Imported, place: str
) -> Conversation | None:
    """Return what is read; an error says in which conversation, and that nothing was imported."""
    number = len(found.conversations) + found.counts["empty"] + 1
    which = "" if place == "$" else f", in conversation {number}"
    begin = f"this export of {_NAMES[found.source]} cannot be imported{which}"
    try:
        return read()
    except msgspec.ValidationError as error:
        words = in_words(str(error)).replace("at `$", f"at `{place}")
        raise InvalidCommand(f"{begin}: {words}", hint="nothing of it was imported") from None
    except (InvalidCommand, ConversationLimit) as error:
        hint = error.hint or "nothing of it was imported"
        message = error.message.replace("at `$", f"at `{place}")
        raise type(error)(f"{begin}: {message}", hint=hint) from None


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """Decode JSON; raises `msgspec.ValidationError`, or `InvalidCommand` when it is none."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeError) as error:
        mended = _LONE_SURROGATE.sub(lambda m: m[1] + (m[2] or rb"\ufffd"), body)
        if mended != body:
            return _decoded(decoder, mended)
        raise InvalidCommand(
            not_json(body, str(error)), hint="nothing of it was imported"
        ) from None
    except RecursionError:
        raise InvalidCommand("the file is nested too deeply") from None
