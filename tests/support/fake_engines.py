"""The gateway as a program, with fakes for its model servers.

`python -m tests.support.fake_engines --settings FILE` is `python -m server`, except that a model's
`weights` are the flags of its fake TGI. Of a model whose weights are of the hub they are those that
FAKE_OF_THE_HUB says.
"""

import functools
import sys

import server.__main__ as program
from server.app import build_app
from tests.support.launching import launcher_by_weights

if __name__ == "__main__":
    build = functools.partial(build_app, embedded=launcher_by_weights())
    setattr(program, "build_app", build)  # noqa: B010
    sys.exit(program.main())
