"""The pure parts of an evaluation: prompt sets, checks, judging, and what results say.

How they go together, for whoever runs one:

1. `files.reading.read_prompts` makes a `PromptSet` of a file; `files.writing` writes it.
2. `PromptSet.messages_of` is what a target is asked for a prompt, `prompt_ids` names the prompts.
3. `PromptSet.checks_of`, with `checks.running.run_checks` and one `CheckWorkers` for the run, says
   what an answer passed.
4. `judging` has what a judge is asked, and reads its replies. People's votes and judges' verdicts
   become each a `Vote` for `statistics.strengths`.
5. `tables.Tally` adds up a target's records: its row of the results, and the scores by which
   `statistics.paired` compares two targets.
"""
