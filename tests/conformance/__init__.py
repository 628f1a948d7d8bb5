"""Hold any server against docs/PROTOCOL.md: `python -m tests.conformance ws://HOST:PORT/ws -m ID`.

Each rule opens sockets of its own, says what it has to say, and has a verdict: it holds, or it does
not, and why. Whatever a rule is about, every frame that comes is read
by the definitions in server/core/protocol, and every generation is followed from its first state
to its end. A model is asked some thirty short questions; one that is down is started.
"""
