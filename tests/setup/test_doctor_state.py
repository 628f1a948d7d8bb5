"""What the doctor says of where the gateway has its state."""

from pathlib import Path

import pytest

from server.doctor import state
from server.doctor.checks import CHECKS
from server.doctor.findings import Wanted
from server.doctor.state import check_state, file_system

# As Linux has it: the last of several at one place counts, and blanks are written as \040.
MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 22 0:25 / /srv rw,relatime shared:8 - tmpfs tmpfs rw
40 22 0:30 / /srv rw,relatime shared:9 - nfs4 10.0.0.9:/state rw,vers=4.2
41 40 0:31 / /srv/block\\040storage rw,relatime - xfs /dev/sdb rw
42 22 0:32 / /srvother rw,relatime - cifs //files/other rw
"""


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/var/lib/sidestream", "ext4"),
        ("/srv", "nfs4"),
        ("/srv/sidestream", "nfs4"),
        ("/srv/block storage/sidestream", "xfs"),
        ("/srvother/sidestream", "cifs"),
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_nearest_mount(place: str, kind: str) -> None:
    assert file_system(Path(place), MOUNTS) == kind


def test_this_machines_own_mounts_are_read() -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    assert file_system(Path("/proc/self/no-such-folder"), mounts) == "proc"
    assert check_state in CHECKS
    assert check_state(Wanted(state_dir=Path("/proc"))).level == "ok"


def test_a_state_on_nfs_is_reported_with_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    monkeypatch.setattr(state, "_MOUNTS", tmp_path / "mountinfo")
    assert check_state(Wanted(state_dir=Path("/var/lib/sidestream"))).level == "ok"
    for wanted in (
        Wanted(state_dir=Path("/srv/sidestream")),
        Wanted(state_dir=Path("/var/lib"), conversations_file="/srvother/kept"),
    ):
        found = check_state(wanted)
        assert found.level == "warn"
        assert "`state_dir` in [server]" in found.mend
    assert "/srvother/kept is on cifs" in found.seen
