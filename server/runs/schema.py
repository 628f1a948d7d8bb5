"""The tables of prompt sets and runs, and the migrations from earlier versions of the file.

Rules:

1. `MIGRATIONS[n]` takes a file from version n to n + 1; a released entry is never edited.
2. What a set had in it at some time is a row of `content`, named by its version, and never changes.
   Sets and runs refer to it; one that nothing refers to is removed.
3. An answer is a row once it is complete. What is not there has yet to be asked, whatever ended the
   gateway.
4. A judgement of a grade has a `second` of -1; of a pair there is one for each order.
5. What only the program reads is JSON; what queries look at has a column.
6. A row of `share` lets a key see a run and vote on it; `*` stands for every key.
7. The number of a run or judge is never given out again: `last_number` has the last one.
"""

from typing import Final

from server.storage.database import Schema

# "Runs" in ASCII.
_APPLICATION_ID: Final = 0x52756E73

_VERSION_1: Final = """
CREATE TABLE content (
    version TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    prompts INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE prompt_set (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    tags TEXT NOT NULL,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    version TEXT NOT NULL REFERENCES content
);
CREATE INDEX prompt_set_by_owner ON prompt_set (owner, updated);

CREATE TABLE earlier_version (
    prompt_set INTEGER NOT NULL REFERENCES prompt_set ON DELETE CASCADE,
    created REAL NOT NULL,
    version TEXT NOT NULL REFERENCES content,
    PRIMARY KEY (prompt_set, version)
) WITHOUT ROWID;

CREATE TABLE run (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    prompt_set TEXT NOT NULL,
    version TEXT NOT NULL REFERENCES content,
    repeats INTEGER NOT NULL,
    state TEXT NOT NULL,
    error TEXT,
    created REAL NOT NULL,
    updated REAL NOT NULL
);
CREATE INDEX run_by_owner ON run (owner, created);

CREATE TABLE target (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    place INTEGER NOT NULL,
    model TEXT NOT NULL,
    name TEXT NOT NULL,
    parameters TEXT NOT NULL,
    system TEXT,
    state TEXT NOT NULL,
    error TEXT,
    engine TEXT,
    PRIMARY KEY (run, place)
) WITHOUT ROWID;

CREATE TABLE answer (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    prompt INTEGER NOT NULL,
    target INTEGER NOT NULL,
    repeat INTEGER NOT NULL,
    ended REAL NOT NULL,
    finish_reason TEXT NOT NULL,
    code TEXT,
    passed INTEGER,
    first_token_ms REAL,
    total_ms REAL NOT NULL,
    was_cold INTEGER NOT NULL,
    text TEXT NOT NULL,
    reasoning TEXT NOT NULL,
    details TEXT NOT NULL,
    PRIMARY KEY (run, prompt, target, repeat)
) WITHOUT ROWID;

CREATE TABLE vote (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    prompt INTEGER NOT NULL,
    repeat INTEGER NOT NULL,
    voter TEXT NOT NULL,
    created REAL NOT NULL,
    given TEXT NOT NULL,
    PRIMARY KEY (run, prompt, repeat, voter)
) WITHOUT ROWID
"""

_VERSION_2: Final = """
CREATE TABLE judge (
    number INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    id TEXT NOT NULL UNIQUE,
    created REAL NOT NULL,
    given TEXT NOT NULL,
    state TEXT NOT NULL,
    error TEXT
);
CREATE INDEX judge_by_run ON judge (run);

CREATE TABLE judgement (
    judge INTEGER NOT NULL REFERENCES judge ON DELETE CASCADE,
    prompt INTEGER NOT NULL,
    repeat INTEGER NOT NULL,
    first INTEGER NOT NULL,
    second INTEGER NOT NULL,
    grade INTEGER,
    better TEXT,
    details TEXT NOT NULL,
    PRIMARY KEY (judge, prompt, repeat, first, second)
) WITHOUT ROWID
"""

_VERSION_3: Final = """
CREATE TABLE share (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    reader TEXT NOT NULL,
    PRIMARY KEY (run, reader)
) WITHOUT ROWID;
CREATE INDEX share_by_reader ON share (reader);
-- What is counted of answers, so that their texts are not read for it.
CREATE INDEX answer_outcome ON answer (run, target, prompt, finish_reason, passed)
"""

_VERSION_4: Final = """
-- What is counted of judgements, so that what was said is not read for it.
CREATE INDEX judgement_outcome ON judgement (judge, grade, better)
"""

_VERSION_5: Final = """
CREATE TABLE last_number (
    of TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO last_number SELECT 'run', coalesce(max(number), 0) FROM run;
INSERT INTO last_number SELECT 'judge', coalesce(max(number), 0) FROM judge
"""

MIGRATIONS: Final = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5)
SCHEMA: Final = Schema(_APPLICATION_ID, MIGRATIONS, "runs", "runs")
