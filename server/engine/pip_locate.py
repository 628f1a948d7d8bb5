"""Ask pip where a wheel is and what it hashes to, without fetching it.

A program of its own (`python -m server.engine.pip_locate NAME [VERSION]`), because pip is one
and not a library: its index, mirror, proxy and credentials are whatever the user has set. It
prints `{"url", "sha256", "version"}`.

`pip install --dry-run --report` would be the documented way, but it fetches the whole wheel
to tell where it is. This leans on the inside of `pip index` instead, which has looked the
same since pip 21.2; where it does not, the exit code is 3 and the caller takes the long way.
"""

import json
import sys
from typing import Any

NOT_FOUND = 1
ANOTHER_PIP = 3


def main(argv: list[str]) -> int:
    """Print where the wheel is; return the exit code."""
    name, version = argv[0], argv[1] if len(argv) > 1 else None
    try:
        return _locate(name, version)
    except (ImportError, AttributeError, TypeError) as error:
        sys.stderr.write(f"this pip is another inside: {error}\n")
        return ANOTHER_PIP


def _locate(name: str, version: str | None) -> int:
    from pip._internal.commands.index import IndexCommand
    from pip._vendor.packaging.specifiers import SpecifierSet

    wanted = SpecifierSet(f"=={version}" if version else "")

    class Locate(IndexCommand):
        def run(self, options: Any, args: list[str]) -> int:
            with self._build_session(options) as session:
                finder = self._build_package_finder(options=options, session=session)
                best = finder.find_best_candidate(name, wanted).best_candidate
            if best is None:
                sys.stderr.write(f"ERROR: No matching distribution found for {name}{wanted}\n")
                return NOT_FOUND
            if best.link.hash_name != "sha256":
                return ANOTHER_PIP
            found = {
                "url": best.link.url_without_fragment,
                "sha256": best.link.hash,
                "version": str(best.version),
            }
            sys.stdout.write(json.dumps(found))
            return 0

    options = ["--only-binary", ":all:", "--disable-pip-version-check", "--no-input", "--quiet"]
    return int(Locate("index", "").main(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
