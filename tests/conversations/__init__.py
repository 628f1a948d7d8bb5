"""Recorded dialogues, which every client of ours replays.

A file holds one dialogue, a line of JSON for each step; every line is an object with one key:

    {"about": TEXT}                 what the dialogue shows
    {"do": [VERB, ARGUMENT]}        what the program wants of its client
    {"client": COMMAND}             the frame that the client then sends
    {"server": [EVENT]}             a frame that the server sends
    {"cut": true}                   the connection breaks, without a good-bye
    {"close": CODE}                 the server closes it
    {"expect": {...}}               what the client knows in the end

Ids of commands and request ids may differ from those recorded, but the same stays the same. The
verbs: `connect`, `generate` (the command's fields), `cancel` (which of the answers asked for,
from 0, null for all), `start` and `stop` (a model), `ping`, `logs` (the command's fields),
`leave` (which log, from 0).

`expect` has `generations` (those asked for, in order: model, text, finish_reason, the error's
code), `commands` (of each command asked for: "ok" or the error's code), `models` (id: state) and
`logs` (the lines' texts, for each log).

`python -m tests.conversations.record` records those that are recorded anew from the real gateway;
`hand-*.jsonl` are written by hand: what a server of ours does not do, but may.
"""
