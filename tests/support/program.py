"""A program to be run by a runner: light, since many tests start it, and told what to do.

`python -S program.py WHAT [--fd N | --port N] [--lifeline-fd N]` does one of these:

    serve       say "ready", answer every connection, end on SIGTERM with code 0
    stubborn    the same, but SIGTERM does nothing
    exit        write three lines, one of them to standard error, and end with code 3
    chatter     write 5,000 numbered lines, then serve
    long-line   write a line of 200,000 characters, bytes that are no text, and end with code 0
    mother      start a child that holds the output open, then end with code 3
    deserter    the same, and the child leaves the process group
"""

import os
import signal
import socket
import subprocess
import sys
import threading


def main() -> int:
    what = sys.argv[1]
    options = dict(zip(sys.argv[2::2], map(int, sys.argv[3::2]), strict=True))
    if "--lifeline-fd" in options:
        threading.Thread(target=die_with, args=(options["--lifeline-fd"],), daemon=True).start()
    if what == "stubborn":
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


def die_with(lifeline: int) -> None:
    if not os.read(lifeline, 1):
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
