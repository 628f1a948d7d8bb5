"""The tables, and how a file of an earlier version becomes one of today's.

Rules:

1. `MIGRATIONS[n]` takes a file from version n to n + 1; version 0 is an empty file. What was once
   released is never edited: a change is a new entry.
2. `application_id` says that a file is ours, `user_version` which version it has.
3. Text that streams is added in `piece`, a row per flush, so that an answer costs the same at its
   end as at its start; when it has ended, its pieces become its text.
4. `search` holds words under a number that says whose they are: see `search_number`.

What varies with the program (columns, parameters, timings) is JSON; what is asked for has a column.
"""

from typing import Final, Literal

# "Side" in ASCII.
APPLICATION_ID: Final = 0x53696465

_VERSION_1: Final = """
CREATE TABLE conversation (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    title TEXT NOT NULL,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    deleted REAL,
    columns TEXT NOT NULL,
    view TEXT NOT NULL,
    size INTEGER NOT NULL
);
CREATE INDEX conversation_by_owner ON conversation (owner, updated);

CREATE TABLE turn (
    number INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversation ON DELETE CASCADE,
    id TEXT NOT NULL,
    parent TEXT,
    history TEXT,
    text TEXT NOT NULL,
    created REAL NOT NULL,
    vote TEXT,
    UNIQUE (conversation, id)
);

CREATE TABLE message (
    number INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversation ON DELETE CASCADE,
    digest BLOB NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    UNIQUE (conversation, digest)
);

CREATE TABLE answer (
    number INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversation ON DELETE CASCADE,
    id TEXT NOT NULL,
    turn TEXT NOT NULL,
    place TEXT,
    model TEXT NOT NULL,
    created REAL NOT NULL,
    state TEXT NOT NULL,
    seq INTEGER NOT NULL,
    text TEXT NOT NULL,
    finish_reason TEXT,
    facts TEXT NOT NULL,
    UNIQUE (conversation, id)
);
CREATE INDEX answer_under_way ON answer (state) WHERE state != 'ended';

CREATE TABLE piece (
    answer INTEGER NOT NULL REFERENCES answer ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (answer, seq)
) WITHOUT ROWID;

CREATE TABLE tokens (
    answer INTEGER PRIMARY KEY REFERENCES answer ON DELETE CASCADE,
    tokens TEXT NOT NULL
);

CREATE VIRTUAL TABLE search USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2');
"""

MIGRATIONS: Final = (_VERSION_1,)
VERSION: Final = len(MIGRATIONS)

Searched = Literal["title", "turn", "answer"]
KINDS: Final[tuple[Searched, ...]] = ("title", "turn", "answer")


def search_number(kind: Searched, number: int) -> int:
    """Return the row in `search` of a conversation's title, a turn's or an answer's text."""
    return number * len(KINDS) + KINDS.index(kind)
