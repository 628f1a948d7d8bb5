"""Start the service: `python -m server`."""

import gc
import signal

# What a start makes stays: looking through it for garbage would be a tenth of its time.
gc.disable()
# Until there is a server, Ctrl-C is to end this like any program, not with a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
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
from server.core.errors import StorageFailed
from server.core.ip import parse_ip
from server.instance import InstanceLock
from server.logs import configure
from server.reload.reloader import Reloaded, Reloader, report, report_pipe
from server.settings.files import DEFAULT_SETTINGS
from server.settings.loading import load
from server.settings.tables import Settings
from server.settings.values import SettingsError
from server.storage.database import UnusableFile
from server.web.keys import ADDED_SERVERS, CATALOG_SOURCE, COMMAND_CHECKS, DISCOVERY, FLEET
from server.web.listening import CannotEncrypt, Certificate, certificate_of, make_runner

logger = logging.getLogger("server")

# uvloop may hand a signal on twice, within a millisecond, when another one comes along with it.
_ECHO_SECONDS: Final = 0.05
_ALL_OF_IPV6: Final = ipaddress.IPv6Address("::")
_BACKLOG: Final = 128


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
        print("The settings cannot be used:", *error.problems, sep="\n  ", file=sys.stderr)
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
        certificate = certificate_of(settings.access)
    except (KeysUnusable, CannotEncrypt) as error:
        refusal, certificate = str(error), None
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
            if not await _is_set_up(runner, stop):
                return 0
        except (StorageFailed, UnusableFile) as error:
            print(f"Conversations cannot be kept: {error}", file=sys.stderr)
            return 1
        tls = certificate.context if certificate else None
        try:
            if parse_ip(host) == _ALL_OF_IPV6:
                site: web.BaseSite = web.SockSite(runner, _dual_stack(port), ssl_context=tls)
            else:
                site = web.TCPSite(runner, host, port, ssl_context=tls)
            await site.start()
        except OSError as error:
            print(f"Cannot listen on {_shown(host)}:{port}: {_reason(error)}", file=sys.stderr)
            return 1
        bound = runner.addresses[0]
        # Nor shall it be looked through later, which would hold up every token.
        gc.freeze()
        gc.enable()
        scheme = "https" if tls else "http"
        print(f"Sidestream {__version__} is at {scheme}://{_shown(host)}:{bound[1]}", flush=True)
        checks = (app[COMMAND_CHECKS].apply,) if COMMAND_CHECKS in app else ()
        reloader = Reloader(
            settings, read, app[FLEET], app[CATALOG_SOURCE], app[DISCOVERY], *checks
        )
        app[ADDED_SERVERS].additions.set_file(file, lambda: reloader.reload().problems)
        app[DISCOVERY].start(bound[1])
        pipe = report_pipe(settings.server.state_dir, settings.server.instance)
        while not await _is_told_to_stop(stop, hung_up):
            if dies_with_terminal and not _has_terminal():
                break
            report(_read_again(reloader, certificate), pipe)
        stop.is_under_way = True
        logger.info("stopping")
        # From its clean-up on, aiohttp reads no requests. Until then answers under way can be
        # cancelled, and new requests are told that we are about to stop.
        await app.shutdown()
    finally:
        await runner.cleanup()
    return 0


def _read_again(reloader: Reloader, certificate: Certificate | None) -> Reloaded:
    """Read the certificate and the settings again; a certificate that is none changes nothing."""
    try:
        is_renewed = certificate is not None and certificate.renew()
    except CannotEncrypt as error:
        logger.error("the settings stay as they were: %s", error)
        return Reloaded(problems=[str(error)])
    reloaded = reloader.reload()
    if is_renewed:
        logger.info("new connections get the renewed certificate")
        reloaded.changed.append("renewed certificate")
    return reloaded


async def _is_told_to_stop(stop: asyncio.Event, hung_up: asyncio.Event) -> bool:
    """Wait for the one or the other, and tell whether it was the first."""
    waits = [asyncio.create_task(event.wait()) for event in (stop, hung_up)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    hung_up.clear()
    return stop.is_set()


async def _is_set_up(runner: web.AppRunner, stop: asyncio.Event) -> bool:
    """Set the application up, and tell whether that was done before we were told to stop."""
    setup, stopped = asyncio.create_task(runner.setup()), asyncio.create_task(stop.wait())
    await asyncio.wait([setup, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not setup.done():
        setup.cancel()
        await asyncio.wait([setup])
        return False
    setup.result()
    return True


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


def _dual_stack(port: int) -> socket.socket:
    """Listen on all addresses, of IPv4 too: asyncio's own socket for `::` takes IPv6 alone.

    Raises `OSError`.
    """
    is_dual = socket.has_dualstack_ipv6()
    address, family = ("::", port), socket.AF_INET6
    return socket.create_server(address, family=family, dualstack_ipv6=is_dual, backlog=_BACKLOG)


def _reason(error: OSError) -> str:
    """Say what is wrong with an address; asyncio wraps the system's words in its own."""
    if error.errno == errno.EAFNOSUPPORT:
        return "this system has no IPv6; --host 0.0.0.0 is all of IPv4"
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
