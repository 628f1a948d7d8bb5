"""Start the service: `python -m server`."""

import signal

# Until there is a server, Ctrl-C is to end this like any program, not with a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import asyncio
import contextlib
import errno
import gc
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from server import __version__
from server.access.exposure import refusal_to_start
from server.access.key_file import KeysUnusable
from server.app import build_app
from server.archive.database import UnusableFile
from server.core.errors import StorageFailed
from server.instance import InstanceLock
from server.logs import configure
from server.reload.reloader import Reloader, report, report_pipe
from server.settings import DEFAULT_SETTINGS, Settings, SettingsError, load
from server.web.keys import CATALOG_SOURCE, DISCOVERY, FLEET, SERVERS
from server.web.listening import CannotEncrypt, make_runner, tls_context

logger = logging.getLogger("server")

# uvloop may hand a signal on twice, within a millisecond, when another one comes along with it.
_ECHO_SECONDS: Final = 0.05


def main() -> int:
    """Read the command line and the settings, and serve until told to stop."""
    arguments = _parser().parse_args()
    environment = dict(os.environ)
    for key in ("host", "port"):
        if getattr(arguments, key) is not None:
            environment[f"SIDESTREAM_SERVER__{key.upper()}"] = str(getattr(arguments, key))

    def read() -> Settings:
        return load(arguments.settings, environment)

    try:
        settings = read()
    except SettingsError as error:
        print("The settings cannot be used:", file=sys.stderr)
        for problem in error.problems:
            print(f"  {problem}", file=sys.stderr)
        return 2
    configure(settings.server.log_level, settings.server.log_format)
    with (
        contextlib.suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=_new_event_loop) as runner,
    ):
        return runner.run(_serve(arguments.settings, settings, read, is_standby=arguments.standby))
    return 130


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """Make the faster loop where the platform has it; everything works on the other one too."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _serve(
    file: Path, settings: Settings, read: Callable[[], Settings], *, is_standby: bool
) -> int:
    loop, stop, hung_up = asyncio.get_running_loop(), _Stop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _on_signal, stop, number)
    dies_with_terminal = _has_terminal() and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    loop.add_signal_handler(signal.SIGHUP, hung_up.set)
    try:
        refusal = refusal_to_start(settings)
        tls = tls_context(settings.access)
    except (KeysUnusable, CannotEncrypt) as error:
        refusal, tls = str(error), None
    if refusal is not None:
        print(refusal, file=sys.stderr)
        return 1
    if not await _become_controller(settings, stop, is_standby=is_standby):
        return 0 if stop.is_set() else 1
    host, port = settings.server.host, settings.server.port
    app = build_app(settings)
    runner = make_runner(app, settings.access)
    try:
        try:
            await runner.setup()
        except (StorageFailed, UnusableFile) as error:
            print(f"Conversations cannot be kept: {error}", file=sys.stderr)
            return 1
        site = web.TCPSite(runner, host, port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            print(f"Cannot listen on {_shown(host)}:{port}: {_reason(error)}", file=sys.stderr)
            return 1
        bound = runner.addresses[0]
        # What there is now stays: to look through it again and again would hold up every token.
        gc.freeze()
        scheme = "https" if tls else "http"
        print(f"Sidestream {__version__} is at {scheme}://{_shown(host)}:{bound[1]}", flush=True)
        reloader = Reloader(settings, read, app[FLEET], app[CATALOG_SOURCE], app[DISCOVERY])
        app[SERVERS].attach(file, lambda: reloader.reload().problems)
        app[DISCOVERY].start(bound[1])
        pipe = report_pipe(settings.server.state_dir, settings.server.instance)
        while not await _is_told_to_stop(stop, hung_up):
            if dies_with_terminal and not _has_terminal():
                break
            report(reloader.reload(), pipe)
        stop.is_under_way = True
        logger.info("stopping")
        # As soon as it cleans up, aiohttp hears nobody any more; whoever has an answer under
        # way may still cancel it, and who comes now is told that we are about to stop.
        await app.shutdown()
    finally:
        await runner.cleanup()
    return 0


async def _is_told_to_stop(stop: asyncio.Event, hung_up: asyncio.Event) -> bool:
    """Wait for the one or the other, and tell whether it was the first."""
    waits = [asyncio.create_task(event.wait()) for event in (stop, hung_up)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    hung_up.clear()
    return stop.is_set()


def _has_terminal() -> bool:
    """Tell whether we were started from a terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


class _Stop(asyncio.Event):
    """That the gateway was told to stop, when, and whether it is about it."""

    told_at = 0.0
    is_under_way = False


def _on_signal(stop: _Stop, number: int) -> None:
    """Stop in order; told twice, stop at once: child processes notice that we are gone."""
    if not stop.is_set():
        stop.told_at = time.monotonic()
        stop.set()
    elif stop.is_under_way or time.monotonic() - stop.told_at > _ECHO_SECONDS:
        os._exit(128 + number)


async def _become_controller(settings: Settings, stop: asyncio.Event, *, is_standby: bool) -> bool:
    """Take control of the instance, as a standby once it is free; tell whether it worked."""
    name = settings.server.instance
    try:
        lock = InstanceLock(settings.server.state_dir.expanduser(), name)
    except OSError as error:
        print(
            f"Cannot lock the instance: {error}. Let `state_dir` in [server] name a folder that "
            "may be written to.",
            file=sys.stderr,
        )
        return False
    if lock.try_acquire():
        return True
    holder = lock.holder()
    if not is_standby:
        print(
            f"A Sidestream named {name!r} runs already (process {holder}). Give this one another "
            "name with `instance` in [server], or start it with --standby.",
            file=sys.stderr,
        )
        return False
    print(f"Standing by until {name!r} (process {holder}) goes", flush=True)
    waits = [asyncio.create_task(lock.acquire()), asyncio.create_task(stop.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    return not stop.is_set()


def _reason(error: OSError) -> str:
    """Say what is wrong with an address; asyncio wraps the system's words in its own."""
    if error.errno == errno.EADDRINUSE:
        return "another program uses the port; choose one with --port"
    number = error.errno or 0
    return os.strerror(number) if number > 0 else str(error.strerror)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 65535, found {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m server", description="Serve Sidestream.")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=_port, help="port to listen on")
    parser.add_argument("--settings", type=Path, default=DEFAULT_SETTINGS, help="settings file")
    parser.add_argument(
        "--standby", action="store_true", help="wait until the gateway of this name goes"
    )
    parser.add_argument("--version", action="version", version=f"Sidestream {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
