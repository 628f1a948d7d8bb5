"""What votes, judgements and outcomes come to, as a leaderboard. Pure functions, for a thread.

Rules:

1. People's blind votes count, and nothing else is mixed with them: votes by those who saw names are
   counted apart, judges have rankings of their own.
2. A vote that none is better, or that all are bad, is a tie of all.
3. Two answers of one model say nothing of it against others.
4. Where too few prompts were decided, nothing is better than anything: resamples of few prompts
   differ too little, and those of one prompt not at all.
5. The same prompt in several runs of one version of a set is one prompt.
6. Who voted on a run is told to its owner alone: who voted on another's run has a number, unless it
   is the reader's or that owner's own vote.
"""

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from server.archive.rounds import ChatRound
from server.evaluation.judging import Preference, combine_orders
from server.evaluation.statistics.intervals import Interval
from server.evaluation.statistics.paired import FEWEST_DIFFERENT
from server.evaluation.statistics.shares import PassCounts
from server.evaluation.statistics.strengths import (
    Strength,
    VoteData,
    decided_prompts,
    votes_of_round,
)
from server.runs.board_shapes import (
    BoardEntry,
    BoardPassed,
    BoardRank,
    BoardRun,
    BoardVariant,
    BoardVoter,
    JudgeBoard,
    Leaderboard,
    Over,
)
from server.runs.board_store import BoardPair, BoardVote, StoredBoardRun

Prompts = frozenset[int] | None
"""Which prompts of a run count; None for all."""

_MOST_VARIANTS: Final = 20
# Of an array of outcomes: prompt, passed, checked, failed.
_WIDTH: Final = 4


@dataclass(frozen=True)
class Gathered:
    """All that a leaderboard is made of."""

    reader: str
    over: Over
    set_id: str
    tag: str
    runs: Sequence[tuple[StoredBoardRun, Prompts]]
    votes: Sequence[BoardVote]
    rounds: Sequence[ChatRound]
    judges: Mapping[int, str]
    pairs: Sequence[BoardPair]
    outcomes: Mapping[int, Sequence["array[int]"]]
    left_out: bool


@dataclass
class Sums:
    """What is counted, and the votes of each ranking: people's, then those of each judge."""

    people: list[VoteData] = field(default_factory=list)
    judged: dict[str, list[VoteData]] = field(default_factory=dict)
    inconsistent: Counter[str] = field(default_factory=Counter)
    votes_of_model: Counter[str] = field(default_factory=Counter)
    blind_by_run: Counter[int] = field(default_factory=Counter)
    seen_by_run: Counter[int] = field(default_factory=Counter)
    blind_by_voter: Counter[str] = field(default_factory=Counter)
    seen_by_voter: Counter[str] = field(default_factory=Counter)
    numbered_voters: set[str] = field(default_factory=set)
    chat_votes: Counter[bool] = field(default_factory=Counter)
    same_model: int = 0
    passed: dict[str, PassCounts] = field(default_factory=dict)
    checked_by_run: Counter[int] = field(default_factory=Counter)
    variants: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    @property
    def rankings(self) -> list[list[VoteData]]:
        """Return the votes of each ranking, people's first."""
        return [self.people, *self.judged.values()]

    def count_variant(
        self, model: str, parameters: Mapping[str, Any], system: str | None, *, is_run: bool
    ) -> None:
        """Note in how many runs or rounds a model was asked that way."""
        key = msgspec.json.encode([parameters, system], order="sorted").decode()
        counts = self.variants.setdefault(model, {}).setdefault(key, [0, 0])
        counts[0 if is_run else 1] += 1


def added_up(gathered: Gathered) -> Sums:
    """Count all that was gathered."""
    sums = Sums()
    runs = {run.number: (run, prompts) for run, prompts in gathered.runs}
    for run, _ in gathered.runs:
        for key in dict.fromkeys(
            (one.model, msgspec.json.encode(one.parameters, order="sorted"), one.system)
            for one in run.targets
        ):
            model, parameters, system = key
            sums.count_variant(model, msgspec.json.decode(parameters), system, is_run=True)
    _add_run_votes(sums, gathered.votes, runs, gathered.reader)
    _add_rounds(sums, gathered.rounds, gathered.reader)
    _add_judgements(sums, gathered, runs)
    _add_outcomes(sums, gathered)
    return sums


def board_of(
    gathered: Gathered, sums: Sums, strengths: Sequence[Sequence[Strength]]
) -> Leaderboard:
    """Return the leaderboard; `strengths` are those of `sums.rankings`."""
    people, *judged = [
        ranks_of(several, votes) for several, votes in zip(strengths, sums.rankings, strict=True)
    ]
    chats = {one.conversation for one in gathered.rounds if one.conversation}
    return Leaderboard(
        gathered.over,
        gathered.set_id,
        gathered.tag,
        _entries(gathered, sums, people),
        [
            JudgeBoard(
                model,
                sum(name == model for name in gathered.judges.values()),
                len(sums.judged[model]),
                sums.inconsistent[model],
                ranking,
            )
            for model, ranking in zip(sums.judged, judged, strict=True)
        ],
        sums.blind_by_run.total() + sums.chat_votes[True],
        sums.seen_by_run.total() + sums.chat_votes[False],
        sums.same_model,
        [_board_run(run, sums, gathered.reader) for run, _ in gathered.runs],
        len(chats),
        sums.chat_votes[True],
        sums.chat_votes[False],
        [
            BoardVoter(
                f"voter {number}" if voter in sums.numbered_voters else voter,
                voter == gathered.reader,
                sums.blind_by_voter[voter],
                sums.seen_by_voter[voter],
            )
            for number, voter in enumerate(sums.blind_by_voter | sums.seen_by_voter, start=1)
        ],
        gathered.left_out,
    )


def ranks_of(strengths: Sequence[Strength], votes: Iterable[VoteData]) -> list[BoardRank]:
    """Return strengths with the places that their intervals allow; `votes` are those they are of.

    A model of which fewer prompts were decided than a sign test needs may have any place.
    """
    decided = decided_prompts(votes)
    bounds = {
        one.target: one.interval
        if one.interval and len(decided[one.target]) >= FEWEST_DIFFERENT
        else Interval(-math.inf, math.inf)
        for one in strengths
    }
    ranks = []
    for one in strengths:
        own = bounds[one.target]
        others = [
            bounds[other.target]
            for other in strengths
            if other.group == one.group and other is not one
        ]
        above = sum(other.low > own.high for other in others)
        below = sum(other.high < own.low for other in others)
        ranks.append(
            BoardRank(
                one.target,
                one.strength,
                [own.low, own.high] if math.isfinite(own.low) else None,
                [1 + above, 1 + len(others) - below],
                len(decided[one.target]),
                one.wins,
                one.losses,
                one.ties,
                one.group,
                one.regularised,
            )
        )
    return ranks


# --- adding up ------------------------------------------------------------------------------


def _add_run_votes(
    sums: Sums,
    votes: Iterable[BoardVote],
    runs: Mapping[int, tuple[StoredBoardRun, Prompts]],
    reader: str,
) -> None:
    for vote in votes:
        run, prompts = runs[vote.run]
        if prompts is not None and vote.prompt not in prompts:
            continue
        if reader not in (run.owner, vote.voter) and vote.voter != run.owner:
            sums.numbered_voters.add(vote.voter)
        if not vote.blind:
            sums.seen_by_run[vote.run] += 1
            sums.seen_by_voter[vote.voter] += 1
            continue
        sums.blind_by_run[vote.run] += 1
        sums.blind_by_voter[vote.voter] += 1
        models = {place: run.targets[place].model for place in vote.among}
        _add_vote(sums, f"{run.version}/{vote.prompt}", models, set(vote.winners))


def _add_rounds(sums: Sums, rounds: Iterable[ChatRound], reader: str) -> None:
    for one in rounds:
        sums.chat_votes[one.blind] += 1
        (sums.blind_by_voter if one.blind else sums.seen_by_voter)[reader] += 1
        if not one.blind:
            continue
        models = dict(enumerate(candidate.model for candidate in one.candidates))
        winners = {place for place, candidate in enumerate(one.candidates) if candidate.won}
        _add_vote(sums, one.turn, models, winners)
        for candidate in one.candidates:
            sums.count_variant(
                candidate.model, candidate.parameters, candidate.system, is_run=False
            )


def _add_vote(sums: Sums, prompt: str, models: Mapping[int, str], winners: set[int]) -> None:
    """Add a choice among answers, each of a model, as votes between two models each."""
    for model in set(models.values()):
        sums.votes_of_model[model] += 1
    among = [str(place) for place in models]
    for pair in votes_of_round(prompt, among, {str(place) for place in winners}):
        first, second = models[int(pair.first)], models[int(pair.second)]
        if first == second:
            sums.same_model += 1
        else:
            sums.people.append((prompt, first, second, pair.score))


def _add_judgements(
    sums: Sums, gathered: Gathered, runs: Mapping[int, tuple[StoredBoardRun, Prompts]]
) -> None:
    said = {
        (one.judge, one.prompt, one.repeat, one.first, one.second): one for one in gathered.pairs
    }
    for (judge, prompt, repeat, first, second), one in said.items():
        other = said.get((judge, prompt, repeat, second, first))
        run, prompts = runs[one.run]
        if first > second or other is None or (prompts is not None and prompt not in prompts):
            continue
        model = gathered.judges[judge]
        names = run.targets[first].model, run.targets[second].model
        if names[0] == names[1]:
            continue
        verdict = combine_orders(_preference(one), _preference(other))
        sums.inconsistent[model] += verdict.is_inconsistent
        if verdict.score is not None:
            block = f"{run.version}/{prompt}"
            sums.judged.setdefault(model, []).append((block, *names, verdict.score))


def _preference(pair: BoardPair) -> Preference:
    better: Any = pair.better
    return Preference(better, "")


def _add_outcomes(sums: Sums, gathered: Gathered) -> None:
    """Add what answers came to, one version of a set after the other."""
    by_version: dict[str, list[tuple[StoredBoardRun, Prompts]]] = defaultdict(list)
    for run, prompts in gathered.runs:
        by_version[run.version].append((run, prompts))
    for several in by_version.values():
        good: dict[str, dict[int, int]] = {}
        total: dict[str, dict[int, int]] = {}
        for run, prompts in several:
            outcomes = gathered.outcomes[run.number]
            checked = {
                prompt
                for one in outcomes
                for prompt, _, told, _ in _quads(one)
                if told and (prompts is None or prompt in prompts)
            }
            for target, one in zip(run.targets, outcomes, strict=True):
                own_good = good.setdefault(target.model, {})
                own_total = total.setdefault(target.model, {})
                for prompt, passed, told, failed in _quads(one):
                    if prompt in checked:
                        own_good[prompt] = own_good.get(prompt, 0) + passed
                        own_total[prompt] = own_total.get(prompt, 0) + told + failed
                        sums.checked_by_run[run.number] += told + failed
        for model, counts in good.items():
            totals = sums.passed.setdefault(model, PassCounts())
            totals.add((passed, total[model][prompt]) for prompt, passed in counts.items())


def _quads(outcomes: "array[int]") -> Iterator[tuple[int, int, int, int]]:
    flat = iter(outcomes)
    return zip(*[flat] * _WIDTH, strict=True)


# --- showing --------------------------------------------------------------------------------


def _entries(gathered: Gathered, sums: Sums, ranking: Sequence[BoardRank]) -> list[BoardEntry]:
    """Return an entry for each model: those with votes by group and strength, then by checks."""
    ranks = {one.model: one for one in ranking}
    runs: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for run, prompts in gathered.runs:
        for model in {target.model for target in run.targets}:
            runs[model] += 1
            asked[model] += run.prompts if prompts is None else len(prompts)
    entries = [
        _entry(model, ranks.get(model), sums, runs[model], asked[model])
        for model in sorted({*ranks, *runs, *sums.variants})
    ]
    return sorted(entries, key=_order)


def _order(entry: BoardEntry) -> tuple[int, float, float, str]:
    passed = entry.passed.interval[0] if entry.passed else -1.0
    if entry.rank is None:
        return 1 << 30, 0.0, -passed, entry.model
    return entry.rank.group, -entry.rank.strength, -passed, entry.model


def _entry(model: str, rank: BoardRank | None, sums: Sums, runs: int, prompts: int) -> BoardEntry:
    variants = sums.variants.get(model, {})
    most = sorted(variants.items(), key=lambda item: (-sum(item[1]), item[0]))[:_MOST_VARIANTS]
    shown = []
    for key, (in_runs, in_rounds) in most:
        parameters, system = msgspec.json.decode(key)
        shown.append(BoardVariant(parameters, system, in_runs, in_rounds))
    return BoardEntry(
        model,
        rank,
        _passed(sums.passed.get(model)),
        sums.votes_of_model[model],
        runs,
        prompts,
        shown,
        len(variants),
    )


def _passed(counts: PassCounts | None) -> BoardPassed | None:
    if counts is None or not counts.total:
        return None
    share, interval = counts.share()
    return BoardPassed(
        counts.passed, counts.total, counts.prompts, share, [interval.low, interval.high]
    )


def _board_run(run: StoredBoardRun, sums: Sums, reader: str) -> BoardRun:
    return BoardRun(
        run.id,
        run.name,
        run.prompt_set,
        run.set_name,
        run.owner == reader,
        run.prompts,
        sums.blind_by_run[run.number],
        sums.seen_by_run[run.number],
        sums.checked_by_run[run.number],
    )
