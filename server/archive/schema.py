"""The tables, and the migrations from earlier versions of the file.

Rules:

1. `MIGRATIONS[n]` takes a file from version n to n + 1; version 0 is an empty file. A released
   entry is never edited: a change is a new entry.
2. `application_id` marks a file as ours; `user_version` is its version.
3. Streaming text is inserted into `piece`, a row per flush, so that a write does not get slower as
   the answer grows. When the answer has ended, its pieces are joined, each kind by itself.
4. A message of parts has them in `parts`, and their text in `content`; a turn's `attachments` are
   the parts of its prompt that are no text.
5. The row number in `search` says which text the words belong to: see `search_number`. Thinking is
   searched only when asked for, and has an index of its own, numbered like the answers. Both hold
   what `words_of`, a function of `words.py` that the connection has, makes of a text: if that
   changes, a migration fills them again.
6. A row of `vote` is one voter's vote; `candidates` has what was compared, as it was at that time.
   `conversation` and `turn` say on what it was; a vote on something else has neither. The column
   `turn.vote` has not been used since version 4.
7. `answer.request` is the `request_id` of the command that asked, if it had one.

Values that only the program reads (columns, parameters, timings) are JSON; values in queries have a
column.
"""

from typing import Final, Literal

from server.archive.words import words_of
from server.storage.database import Schema

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

_VERSION_2: Final = """
ALTER TABLE answer ADD COLUMN reasoning TEXT NOT NULL DEFAULT '';
ALTER TABLE piece ADD COLUMN kind TEXT NOT NULL DEFAULT 'answer';
ALTER TABLE piece ADD COLUMN call TEXT;
ALTER TABLE message ADD COLUMN tool_calls TEXT;
ALTER TABLE message ADD COLUMN tool_call_id TEXT NOT NULL DEFAULT '';
CREATE VIRTUAL TABLE search_reasoning
    USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2');
"""

_VERSION_3: Final = """
CREATE TABLE attachment (
    number INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    media_type TEXT NOT NULL,
    kind TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    name TEXT NOT NULL,
    width INTEGER,
    height INTEGER,
    used REAL NOT NULL,
    data BLOB NOT NULL,
    UNIQUE (owner, id)
);
CREATE TABLE attached (
    conversation INTEGER NOT NULL REFERENCES conversation ON DELETE CASCADE,
    attachment INTEGER NOT NULL REFERENCES attachment ON DELETE CASCADE,
    PRIMARY KEY (conversation, attachment)
) WITHOUT ROWID;
CREATE INDEX attached_by_attachment ON attached (attachment);
ALTER TABLE turn ADD COLUMN attachments TEXT;
ALTER TABLE message ADD COLUMN parts TEXT;
"""

_VERSION_4: Final = """
CREATE TABLE vote (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    voter TEXT NOT NULL,
    conversation INTEGER REFERENCES conversation ON DELETE CASCADE,
    turn TEXT,
    verdict TEXT NOT NULL,
    candidates TEXT NOT NULL,
    blind INTEGER NOT NULL,
    created REAL NOT NULL,
    deleted REAL,
    UNIQUE (voter, id),
    UNIQUE (voter, conversation, turn)
);
CREATE INDEX vote_by_conversation ON vote (conversation);
CREATE INDEX vote_by_time ON vote (voter, created);
INSERT INTO vote (id, voter, conversation, turn, verdict, candidates, blind, created)
    SELECT 'v_' || lower(hex(randomblob(8))), c.owner, c.number, t.id,
        json_extract(t.vote, '$.verdict'),
        (SELECT json_group_array(json_object(
            'model', a.model, 'answer', a.id, 'column', a.place,
            'parameters', json(coalesce(
                (SELECT json_extract(k.value, '$.parameters') FROM json_each(c.columns) AS k
                    WHERE json_extract(k.value, '$.id') = a.place), '{}')),
            'system', (SELECT substr(json_extract(k.value, '$.system'), 1, 2000)
                FROM json_each(c.columns) AS k
                WHERE json_extract(k.value, '$.id') = a.place),
            'won', json(CASE WHEN EXISTS (SELECT 1 FROM json_each(t.vote, '$.winners') AS w
                WHERE w.value = a.id) THEN 'true' ELSE 'false' END)))
            FROM json_each(t.vote, '$.among') AS m
            JOIN answer AS a ON a.conversation = c.number AND a.id = m.value),
        json_extract(t.vote, '$.blind'), json_extract(t.vote, '$.created')
    FROM turn AS t JOIN conversation AS c ON c.number = t.conversation
    WHERE t.vote IS NOT NULL
    ORDER BY t.number;
UPDATE turn SET vote = NULL WHERE vote IS NOT NULL;
"""

_VERSION_5: Final = """
ALTER TABLE conversation ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
CREATE TABLE tag (
    conversation INTEGER NOT NULL REFERENCES conversation ON DELETE CASCADE,
    name TEXT NOT NULL,
    PRIMARY KEY (conversation, name)
) WITHOUT ROWID;
CREATE INDEX tag_by_name ON tag (name);
CREATE INDEX answer_of ON answer (number, conversation);
DROP TABLE search;
DROP TABLE search_reasoning;
CREATE VIRTUAL TABLE search USING fts5 (text, tokenize = 'ascii');
CREATE VIRTUAL TABLE search_reasoning USING fts5 (text, tokenize = 'ascii');
INSERT INTO search (rowid, text)
    SELECT number * 3, words_of(title) FROM conversation WHERE title != '';
INSERT INTO search (rowid, text) SELECT number * 3 + 1, words_of(text) FROM turn;
INSERT INTO search (rowid, text)
    SELECT number * 3 + 2, words_of(text) FROM answer WHERE state = 'ended';
INSERT INTO search_reasoning (rowid, text)
    SELECT number, words_of(reasoning) FROM answer WHERE state = 'ended' AND reasoning != '';
"""

_VERSION_6: Final = """
ALTER TABLE answer ADD COLUMN request TEXT;
CREATE INDEX answer_of_request ON answer (conversation, request) WHERE request IS NOT NULL;
"""

MIGRATIONS: Final = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5, _VERSION_6)
VERSION: Final = len(MIGRATIONS)
SCHEMA: Final = Schema(
    APPLICATION_ID, MIGRATIONS, "conversations", "conversations", {"words_of": words_of}
)

Searched = Literal["title", "turn", "answer"]
KINDS: Final[tuple[Searched, ...]] = ("title", "turn", "answer")


def search_number(kind: Searched, number: int) -> int:
    """Return the row in `search` of a conversation's title, a turn's or an answer's text."""
    return number * len(KINDS) + KINDS.index(kind)
