"""Start the service: `python -m server`."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path

from aiohttp import web

from server import __version__
from server.app import build_app
from server.settings import Settings, SettingsError, load

logger = logging.getLogger("server")

DEFAULT_SETTINGS = Path(__file__).resolve().parent.parent / "settings.ini"


def main() -> int:
    """Read the command line and the settings, and serve until told to stop."""
    arguments = _parser().parse_args()
    environment = dict(os.environ)
    for key in ("host", "port"):
        if getattr(arguments, key) is not None:
            environment[f"SIDESTREAM_SERVER__{key.upper()}"] = str(getattr(arguments, key))
    try:
        settings = load(arguments.settings, environment)
    except SettingsError as error:
        print("The settings cannot be used:", file=sys.stderr)
        for problem in error.problems:
            print(f"  {problem}", file=sys.stderr)
        return 2
    logging.basicConfig(
        level=settings.server.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(_serve(settings))
    return 130


async def _serve(settings: Settings) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    host, port = settings.server.host, settings.server.port
    runner = web.AppRunner(build_app(settings), access_log=None, handler_cancellation=True)
    try:
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            print(
                f"Cannot listen on {host}:{port}: {error.strerror}. "
                "Another program may use the port; choose one with --port.",
                file=sys.stderr,
            )
            return 1
        bound = runner.addresses[0]
        print(f"Sidestream {__version__} is at http://{_shown(host)}:{bound[1]}", flush=True)
        await stop.wait()
        logger.info("stopping")
    finally:
        await runner.cleanup()
    return 0


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m server", description="Serve Sidestream.")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="port to listen on")
    parser.add_argument("--settings", type=Path, default=DEFAULT_SETTINGS, help="settings file")
    parser.add_argument("--version", action="version", version=f"Sidestream {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
