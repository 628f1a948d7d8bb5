"""The values of a line, checked: texts, dialogues, tags."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from server.core.protocol import Message
from server.evaluation.files.rows import HEADER_KEY, SET_PREFIX
from server.evaluation.problems import Problems

MAX_NAME_CHARS: Final = 100
_MAX_TAGS: Final = 50
_MAX_MESSAGES: Final = 1000
# `developer` is what newer models of OpenAI call it.
_ROLES: Final[Mapping[str, Literal["system", "user", "assistant"]]] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "developer": "system",
}
_HALF: Final = re.compile("[\ud800-\udfff]")
_NAME: Final = re.compile(r"[^{}\r\n]+")


class Values:
    """Check the values of one line; what is wrong is noted with the line and the column.

    `is_right` as long as nothing was.
    """

    def __init__(self, problems: Problems, line: int | None, max_chars: int) -> None:
        self._problems = problems
        self._line = line
        self._max_chars = max_chars
        self.is_right = True

    def add(self, message: str, column: str | None = None) -> None:
        """Note a problem of this line; raises `TooManyProblems`."""
        self.is_right = False
        self._problems.add(message, self._line, column)

    def text(self, value: Any, column: str) -> str:
        """Return a text, also of a number or of true and false; empty where it is wrong."""
        if value is None:
            return ""
        if isinstance(value, (bool, int, float)):
            return json.dumps(value)
        if not isinstance(value, str):
            self.add("the value is neither a text nor a number", column)
            return ""
        if len(value) > self._max_chars:
            self.add(f"the text has more than {self._max_chars:,} characters", column)
            return ""
        return value if self.has_characters_only(value, column) else ""

    def has_characters_only(self, value: Any, column: str) -> bool:
        """Tell whether all texts in a value can be stored and sent, and note what cannot."""
        for text in _texts_in(value):
            if "\0" in text:
                self.add("the text has a null character", column)
                return False
            if _HALF.search(text):
                self.add("the text has half of a surrogate pair, which is no character", column)
                return False
        return True

    def name(self, name: str) -> bool:
        """Tell whether a variable may have this name, and note why not."""
        if len(name) > MAX_NAME_CHARS or name != name.strip() or not _NAME.fullmatch(name):
            message = f"a variable's name has up to {MAX_NAME_CHARS} characters, no braces or line"
            self.add(f"{message} ends, and no spaces around it", name[:MAX_NAME_CHARS])
            return False
        if name == HEADER_KEY or name.startswith(SET_PREFIX):
            self.add("the name stands for what is common to all prompts", name)
            return False
        return self.has_characters_only(name, name)

    def tags(self, value: Any) -> tuple[str, ...]:
        """Return the tags of a line."""
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
            self.add("tags are a list of texts", "tags")
            return ()
        if len(value) > _MAX_TAGS or not all(0 < len(tag) <= MAX_NAME_CHARS for tag in value):
            message = f"there are up to {_MAX_TAGS} tags of 1 to {MAX_NAME_CHARS} characters"
            self.add(message, "tags")
            return ()
        return tuple(value) if self.has_characters_only(value, "tags") else ()

    def messages(self, value: Any) -> tuple[Message, ...]:
        """Return a dialogue of OpenAI's form, text only; its last message is the user's."""
        if value is None:
            return ()
        if not isinstance(value, list) or not 0 < len(value) <= _MAX_MESSAGES:
            self.add(f"a dialogue is a list of 1 to {_MAX_MESSAGES} messages", "messages")
            return ()
        messages = [self._message(one, f"messages[{n}]") for n, one in enumerate(value)]
        found = tuple(message for message in messages if message is not None)
        if len(found) == len(value) and found[-1].role != "user":
            self.add("the last message of a dialogue is the user's", f"messages[{len(value) - 1}]")
        return found

    def _message(self, value: Any, place: str) -> Message | None:
        if not isinstance(value, dict) or not value.keys() <= {"role", "content", "name"}:
            self.add("a message is an object with `role` and `content`, a text", place)
            return None
        role = value.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            self.add(f"the role is none of {', '.join(_ROLES)}", f"{place}.role")
            return None
        content = value.get("content")
        if isinstance(content, list):
            content = _joined(content)
        if not isinstance(content, str) or not content:
            self.add("the content is no text, or empty", f"{place}.content")
            return None
        text = self.text(content, f"{place}.content")
        known = _ROLES[role]
        return Message(known, text) if text else None


def _joined(parts: list[Any]) -> str | None:
    """Return the text of parts, None where one of them is something else."""
    texts = [
        part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        for part in parts
    ]
    if not all(isinstance(text, str) for text in texts):
        return None
    return "".join(text for text in texts if text)


def _texts_in(value: Any) -> Iterator[str]:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            left += [*one.keys(), *one.values()]
