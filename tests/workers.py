"""Which worker runs which tests: `python3 run.py test` asks pytest-xdist for one on each core.

A file is one worker's, and so is a folder whose files share what is dear to start. The longest
folders begin, or one worker would still be at them when the others have ended.
"""

from pathlib import PurePath

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# In the order in which they begin.
WHOLE_FOLDERS = ("docker", "swarm", "browser", "setup", "engine", "end_to_end")


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]  # a plugin without type information
    """Hand out files, and some folders as a whole."""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePath(nodeid.partition("::")[0])
        return file.parent.name if file.parent.name in WHOLE_FOLDERS else str(file)


def place(item: pytest.Item) -> int:
    """Return where the test's folder comes; sorted by it, a folder's tests keep their order."""
    folder = item.path.parent.name
    return WHOLE_FOLDERS.index(folder) if folder in WHOLE_FOLDERS else len(WHOLE_FOLDERS)
