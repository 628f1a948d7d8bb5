"""Run one benchmark, or list them: `python3 run.py bench [NAME [WORDS]]`."""

import runpy
import sys
from pathlib import Path

NAMES = sorted(found.parent.name for found in Path(__file__).parent.glob("*/__main__.py"))


def main(words: list[str]) -> None:
    """Become the benchmark named first, to which all other words go; without one, list them."""
    if words and words[0] in NAMES:
        sys.argv[1:] = words[1:]
        runpy.run_module(f"benchmarks.{words[0]}", run_name="__main__", alter_sys=True)
    else:
        print("Benchmarks:", ", ".join(NAMES))


if __name__ == "__main__":
    main(sys.argv[1:])
