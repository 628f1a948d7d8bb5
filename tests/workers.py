"""Which worker runs which tests: `python3 run.py test` asks pytest-xdist for as many as there are.

A file is one worker's, and so is a folder, or a part of it, whose files share what is dear to
start. The order is that of `FOLDERS`:

1. What mostly waits comes first, with real model servers beside it, which compute: tests with
   Docker and with a swarm wait for engines for minutes, and one worker each would leave cores idle.
2. The browser comes when those have ended: Chromium drops what it is loading when the machine's
   network changes, for which a container that starts is enough. It is two workers', as it is the
   longest of all.
3. Then what is long, or one worker would still be at it when the others have ended.

There is a worker more than cores, for there is always one that waits.
"""

from pathlib import PurePath

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# In the order in which they begin. What is in none of them comes last.
FOLDERS = ("docker", "swarm", "real", "browser", "browser runs", "setup", "engine", "end_to_end")
# Whose files are not handed out one by one.
WHOLE = frozenset(FOLDERS) - {"real"}
_RUNS = ("test_run", "test_rerun", "test_prompt_sets")


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]  # a plugin without type information
    """Hand out files, and some folders as a whole."""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePath(nodeid.partition("::")[0])
        folder = _folder(file)
        return folder if folder in WHOLE else str(file)


def place(item: pytest.Item) -> int:
    """Return where the test's folder comes; sorted by it, a folder's tests keep their order."""
    folder = _folder(item.path)
    return FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)


def _folder(file: PurePath) -> str:
    """Return the name of the file's folder, or of its part of the folder."""
    folder = file.parent.name
    return "browser runs" if folder == "browser" and file.name.startswith(_RUNS) else folder
