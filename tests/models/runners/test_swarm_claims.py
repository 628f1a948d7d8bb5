"""Who may change an instance's services: any order of looks, silence, ends and takeovers."""

from dataclasses import dataclass, field

from hypothesis import example, given
from hypothesis import strategies as st

from server.models.runners.swarm.claims import (
    PATIENCE_SECONDS,
    RENEW_SECONDS,
    Claim,
    Holder,
    Judge,
    Verdict,
    read_claim,
)

A = Holder("state-a", "run-a", "one")
B = Holder("state-b", "run-b", "two")
C = Holder("state-c", "run-c", "three")
MAY_TAKE = {Verdict.FREE, Verdict.OURS, Verdict.LEFT}


@dataclass
class Swarm:
    """The lock as managers keep it, and the true time."""

    now: float = 0.0
    claim: Claim | None = None
    version: int = 7
    written: float = 0.0

    def write(self, holder: Holder) -> None:
        """Accept a change, as of the version that is there."""
        self.version += 1
        self.claim = Claim(holder, self.version)
        self.written = self.now


@dataclass
class Run:
    """One gateway: a judge with a clock that nobody else has."""

    swarm: Swarm
    us: Holder
    offset: float = 0.0
    blind_until: float = -PATIENCE_SECONDS
    judge: Judge = field(init=False)

    def __post_init__(self) -> None:
        self.judge = Judge(self.us)

    def look(self, *, takes: float = 0.0) -> Verdict:
        """Look, which takes so many seconds, and take or renew the lock if it may be."""
        asked = self.swarm.now + self.offset
        self.swarm.now += takes
        answered = self.swarm.now + self.offset
        verdict = self.judge.judge(self.swarm.claim, asked=asked, answered=answered)
        if takes > RENEW_SECONDS:
            self.blind_until = self.swarm.now
        if verdict in MAY_TAKE:
            self.swarm.write(self.us)
            self.judge.took()
        return verdict

    def fail(self) -> None:
        """Look in vain."""
        self.judge.could_not_look(now=self.swarm.now + self.offset)
        self.blind_until = self.swarm.now


STEPS = st.tuples(
    st.integers(0, 2),
    st.sampled_from(["look", "look", "look", "slow look", "fail", "release"]),
    st.sampled_from([0.0, 0.5, 2.0, 4.0, 9.0, PATIENCE_SECONDS]),
)
TAKEN_AND_SEEN = [(0, "look", 0.0), (1, "look", 0.0)]


@example([*TAKEN_AND_SEEN, (1, "fail", 9.0), (1, "look", 1.0)], [0.0] * 3)
@example([*TAKEN_AND_SEEN, (1, "slow look", 9.0), (1, "look", 1.0)], [0.0] * 3)
@example([*TAKEN_AND_SEEN, (1, "look", 9.0), (1, "slow look", 1.5)], [0.0] * 3)
@given(st.lists(STEPS, max_size=60), st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3))
def test_the_lock_changes_hands_only_if_released_or_not_renewed_for_long_enough(
    steps: list[tuple[int, str, float]], offsets: list[float]
) -> None:
    """By any clocks, and the time in which the swarm did not answer is no part of it."""
    swarm = Swarm()
    runs = [Run(swarm, us, offset) for us, offset in zip((A, B, C), offsets, strict=True)]
    for number, what, seconds in steps:
        run, before, written = runs[number], swarm.claim, swarm.written
        waits = 0.0 if what == "slow look" else seconds
        swarm.now += waits
        if what == "fail":
            run.fail()
            continue
        if what == "release":
            if before is not None and before.holder == run.us:
                swarm.claim = None
            continue
        now, blind_until = swarm.now, run.blind_until
        verdict = run.look(takes=seconds - waits)
        if verdict in MAY_TAKE and before is not None and before.holder != run.us:
            unchanged = now - max(written, blind_until)
            # Clocks of a million seconds have no microseconds.
            assert unchanged > PATIENCE_SECONDS - 1e-3


@given(st.lists(st.floats(0.1, RENEW_SECONDS), min_size=1, max_size=40))
def test_a_dead_holder_is_followed_within_the_patience_and_a_look(gaps: list[float]) -> None:
    swarm = Swarm()
    assert Run(swarm, A).look() is Verdict.FREE
    follower, waited = Run(swarm, B), 0.0
    assert follower.look() is Verdict.UNSURE
    for gap in gaps * 120:
        swarm.now += gap
        waited += gap
        if follower.look() is Verdict.LEFT:
            break
    assert waited < PATIENCE_SECONDS + RENEW_SECONDS + 1e-6


def test_a_holder_that_renews_is_told_from_one_that_is_gone_at_the_second_look() -> None:
    swarm = Swarm()
    holder, other = Run(swarm, A), Run(swarm, B)
    holder.look()
    assert other.look() is Verdict.UNSURE
    assert other.look() is Verdict.UNSURE
    assert holder.look() is Verdict.OURS
    assert other.look() is Verdict.TAKEN
    swarm.now += PATIENCE_SECONDS
    assert other.look() is Verdict.LEFT
    assert holder.look() is Verdict.TAKEN


def test_the_next_run_with_the_same_state_folder_takes_over_at_once_and_its_loser_does_not() -> (
    None
):
    swarm = Swarm()
    first = Run(swarm, A)
    second = Run(swarm, Holder(A.state, "another", "elsewhere"))
    first.look()
    assert second.look() is Verdict.LEFT
    assert first.look() is Verdict.TAKEN
    assert second.look() is Verdict.OURS


def test_who_holds_the_lock_is_read_from_its_labels_and_others_labels_are_nobodys() -> None:
    spec = {"Name": "sidestream-test-lock", "Labels": A.labels("test")}
    assert read_claim({"Spec": spec, "Version": {"Index": 9}}) == Claim(A, 9)
    strange = read_claim({"Spec": {"Labels": None}, "Version": {"Index": 3}})
    assert strange == Claim(Holder("", "", ""), 3)
    assert Judge(A).judge(strange, asked=0, answered=0) is Verdict.UNSURE
