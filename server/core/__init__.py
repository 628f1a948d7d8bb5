"""Plain data and state machines: no I/O, no clock, no asyncio."""
