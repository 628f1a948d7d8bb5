"""What a container on a node says of the node, and the mend for it."""

import pytest

from server.doctor.findings import Wanted
from server.doctor.nodes import look_at_nodes, read_look

STATUS = "Name:\tcat\nNoNewPrivs:\t{}\nSeccomp:\t2\n"
MOUNTS = "tmpfs /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size={}k 0 0\n"
SWAPS = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


def test_a_node_on_which_nothing_lacks() -> None:
    text = STATUS.format(1) + "/dev/sda1 /data ext4 rw 0 0\n" + MOUNTS.format(1 << 20) + SWAPS
    finding = read_look("node gpu1", text)
    assert (finding.name, finding.level, finding.mend) == ("node gpu1", "ok", "")
    assert finding.seen == "no-new-privileges holds; /dev/shm has 1024 MB of 1024 asked for"


@pytest.mark.parametrize(
    ("text", "seen", "mend"),
    [
        (STATUS.format(0) + MOUNTS.format(1 << 20), "does not hold", '"no-new-privileges": true'),
        (STATUS.format(1) + MOUNTS.format(65536), "has 64 MB", '"default-shm-size"'),
        (
            STATUS.format(1)
            + MOUNTS.format(1 << 20)
            + SWAPS
            + "/dev/sda2 partition\t2097\t0\t-2\n",
            "the machine swaps",
            "swapoff",
        ),
    ],
)
def test_what_lacks_is_told_with_its_mend(text: str, seen: str, mend: str) -> None:
    finding = read_look("node gpu1", text)
    assert finding.level == "warn"
    assert seen in finding.seen
    assert mend in finding.mend
    assert "docs/SWARM.md" in finding.mend


def test_without_a_swarm_nothing_is_started_and_without_managers_that_is_said() -> None:
    (none,) = look_at_nodes(Wanted(swarm_models=frozenset()))
    assert (none.level, none.seen) == ("ok", "no model runs in a swarm")
    away = Wanted(swarm_models=frozenset({"a"}), swarm_hosts=("unix:///nowhere",))
    (lost,) = look_at_nodes(away)
    assert lost.level == "warn"
    assert lost.mend
