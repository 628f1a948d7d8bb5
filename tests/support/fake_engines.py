"""The gateway as a program, with fakes for its model servers.

`python -m tests.support.fake_engines --settings FILE` is `python -m server`, except that a model's
`weights` are the flags of its fake TGI.
"""

import functools
import shlex
import sys

import server.__main__ as program
from server.app import build_app
from server.models.catalog import ModelSpec


def command_for(spec: ModelSpec, listener: int, lifeline: int) -> list[str]:
    """Run a fake in place of the engine."""
    fds = ["--fd", str(listener), "--lifeline-fd", str(lifeline)]
    flags = shlex.split(spec.settings.weights.removeprefix("fake"))
    return [sys.executable, "-m", "tests.fakes.tgi", "--model-id", spec.id, *fds, *flags]


if __name__ == "__main__":
    setattr(program, "build_app", functools.partial(build_app, command_for=command_for))  # noqa: B010
    sys.exit(program.main())
