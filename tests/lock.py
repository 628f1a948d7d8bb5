"""Write the lock files from pyproject.toml: `python3 run.py lock [WORDS FOR UV]`.

They pin every package, with hashes, for all systems; what tests need beside the rest stands in a
file of its own, with the same versions.
"""

import sys

from run import PYTHON, RUN_LOCK, TEST_LOCK, SetupError, call, explain, one_at_a_time


def main(words: list[str]) -> None:
    """Have uv write both files; raises `SetupError`."""
    uv = [str(PYTHON), "-m", "uv", "pip", "compile", "pyproject.toml", "--universal"]
    uv += ["--generate-hashes", "--custom-compile-command", "python3 run.py lock", "--system-certs"]
    uv += words
    with one_at_a_time() as lock_fd:
        call([*uv, "-o", RUN_LOCK], lock_fd)
        call([*uv, "-o", TEST_LOCK, "-c", RUN_LOCK, "--group", "test"], lock_fd)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SetupError as error:
        sys.exit(explain(str(error)))
