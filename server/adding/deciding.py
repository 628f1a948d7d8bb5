"""Decide whether to add a model: by an answer at the terminal, or by the command line's options."""

import sys
from dataclasses import dataclass

from server.hub.errors import DoesNotFit
from server.hub.looking import HubLook


class NotWanted(Exception):
    """The question is answered by no, or there is no terminal to answer at."""


@dataclass
class Decision:
    """What was decided beforehand: `--yes` and `--force`."""

    is_yes: bool
    is_forced: bool

    def ask(self, question: str) -> None:
        """Return if the answer is yes; raises `NotWanted`."""
        if not self.is_yes and self._answer(f"{question} [y/N] ").lower() not in ("y", "yes"):
            raise NotWanted("Nothing was added.")

    def choose(self, look: HubLook, file: str) -> str:
        """Return the file of the candidate that is to be added.

        Where nobody named one the answer may be the number of another. Raises `NotWanted`, and
        `DoesNotFit` for one that does not unless that is confirmed or forced.
        """
        chosen = look.candidate(file)
        if not self.is_yes:
            others = "" if file or len(look.candidates) == 1 else ", or the number of another"
            answer = self._answer(f"Add {chosen.file} as {look.id}? [y/N{others}] ").lower()
            numbers = {str(at): one for at, one in enumerate(look.candidates, 1)}
            if others and answer in numbers:
                chosen = numbers[answer]
            elif answer not in ("y", "yes"):
                raise NotWanted("Nothing was added.")
        if not chosen.fits and not self.is_forced:
            raise DoesNotFit(
                f"{chosen.file} does not fit: it {chosen.problem}",
                hint="choose another with --file, fewer --slots or a smaller --context-tokens; "
                "--force adds it all the same",
            )
        return chosen.file

    def _answer(self, question: str) -> str:
        if not sys.stdin.isatty():
            raise NotWanted("Nothing was added: there is no terminal to ask on; say --yes.")
        print(question, end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip()
