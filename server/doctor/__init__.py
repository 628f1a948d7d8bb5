"""Tell what this machine has of what Sidestream needs, and the mend for what it lacks.

Rules:

1. The standard library only, so that it works before anything is installed. What the settings say
   is asked of `server.settings` if that can be imported already, else the defaults are assumed.
2. A check is a function that returns one `Finding`. `fail` is for what keeps the server from
   running, `warn` for what only some models or tests need.
3. All checks run at once, each on its own thread, and none is waited for longer than a ceiling:
   a name server that does not answer cannot be interrupted, only left behind.
"""
