"""A program to be run by a runner: light, since many tests start it, and told what to do.

`python -S program.py WHAT [--fd N | --port N]` does one of these:

    serve       say "ready", answer every connection, end on SIGTERM with code 0
    stubborn    the same, but SIGTERM does nothing
    exit        write three lines, one of them to standard error, and end with code 3
    chatter     write 5,000 numbered lines, then serve
    long-line   write a line of 200,000 characters, bytes that are no text, and end with code 0
    mother      start a child that holds the output open, then end with code 3
    deserter    the same, and the child leaves the process group
    daemon      start a child that serves in a session of its own, then end with code 0
    family      start a child and a deserter, write their process ids, then be stubborn
    elsewhere   serve at a port that the system chooses
    flood       write 100 MB of lines, then "flooded" to standard error, then serve
    endless     the same in one line of bytes that are no text
    tell        write the environment, and the arguments behind the others, as JSON, then serve
"""

import json
import os
import signal
import socket
import subprocess
import sys


def main() -> int:  # noqa: C901, PLR0912  (each word is a habit of its own)
    what, *words = sys.argv[1:]
    given = words[:2] if what == "tell" else words
    options = dict(zip(given[::2], map(int, given[1::2]), strict=True))
    if what in ("stubborn", "family"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if what == "exit":
        print("one", flush=True)
        print("two", file=sys.stderr, flush=True)
        print("three", flush=True)
        return 3
    if what == "long-line":
        sys.stdout.buffer.write(b"x" * 200_000 + b"\n\xff\xfe\r\nlast")
        return 0
    if what in ("mother", "deserter"):
        held_open = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
        child = subprocess.Popen(held_open, start_new_session=what == "deserter")
        print(child.pid, flush=True)
        os._exit(3)
    if what == "daemon":
        served = [sys.executable, "-S", "-E", __file__, "serve", *words]
        subprocess.Popen(served, start_new_session=True)
        return 0
    if what == "family":
        held_open = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
        family = [subprocess.Popen(held_open, start_new_session=apart) for apart in (False, True)]
        print(*(child.pid for child in family), flush=True)
    if what in ("flood", "endless"):
        piece = b"\xff" * 100 if what == "endless" else b"line " * 19 + b"last\n"
        for _ in range(100):
            sys.stdout.buffer.write(piece * 10_000)
        sys.stdout.flush()
        print("\nflooded", file=sys.stderr, flush=True)
    if what == "tell":
        print(json.dumps([dict(os.environ), words[2:]]), flush=True)
    if what == "elsewhere":
        options["--port"] = 0
    if what == "chatter":
        for number in range(5000):
            print(number)
    if "--fd" in options:
        listener = socket.socket(fileno=options["--fd"])
        listener.listen()
    else:
        listener = socket.create_server(("127.0.0.1", options["--port"]))
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
