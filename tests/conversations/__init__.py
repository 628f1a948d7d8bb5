"""Recorded dialogues that all our clients replay.

A file holds one dialogue, a line of JSON for each step; every line is an object with one key:

    {"about": TEXT}                 what the dialogue shows
    {"do": [VERB, ARGUMENT]}        what the program asks its client to do
    {"client": COMMAND}             the frame that the client then sends
    {"server": [EVENT]}             a frame that the server sends
    {"cut": true}                   the connection breaks without a close frame
    {"close": CODE}                 the server closes it
    {"expect": {...}}               the client's state in the end

Ids of commands and request ids may differ from the recorded ones, but consistently. The
verbs: `connect`, `generate` (the command's fields), `cancel` (which of the answers asked for,
from 0, null for all), `start` and `stop` (a model), `ping`, `logs` (the command's fields),
`follow_runs` (their ids, null for all), `leave` (which log or following, from 0).

The kinds of text in the first `hello` are those that the client is made to know.

`expect` has `generations` (those asked for, in order: model, text, finish_reason, the error's
code; where there are any, reasoning and tool_calls, by index), `commands` (of each command asked
for: "ok" or the error's code), `models` (id: state), `logs` (the lines' texts, for each log) and,
where any are followed, `runs` (id, state and number of answers, each time they were told).

`python -m tests.conversations.record` records those that are recorded anew from the real gateway;
`hand-*.jsonl` are written by hand: behaviour that the protocol allows and our server never shows.
"""
