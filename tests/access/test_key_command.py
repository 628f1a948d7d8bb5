"""`run.py key`, and the file behind it."""

import asyncio
import io
import json
import os
import stat
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from server.access.__main__ import main
from server.access.key import digest_of, parse_expiry
from server.access.key_file import KeyFile, KeysUnusable

ROOT = Path(__file__).resolve().parents[2]


class KeyCommand:
    """`run.py key` with its own settings and state folder."""

    def __init__(self, folder: Path) -> None:
        self.settings = folder / "settings.ini"
        self.settings.write_text(
            f"[server]\nstate_dir = {folder}/state\n"
            "[model m]\nrunner = remote\nurl = http://127.0.0.1:9\n"
            "[upstream box]\nurl = http://127.0.0.1:9\n"
        )
        self.file = folder / "state" / "default.keys.json"

    async def run(self, *words: str) -> tuple[int, str, str]:
        """Do what `run.py key WORDS` does; return its code and what it wrote."""
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            code = main(["--settings", str(self.settings), *words])
        return code, out.getvalue(), err.getvalue()

    async def run_apart(self, *words: str) -> tuple[int, str, str]:
        """Do the same in a process of its own."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server.access", "--settings", str(self.settings), *words),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
def command(tmp_path: Path) -> KeyCommand:
    return KeyCommand(tmp_path)


async def test_a_key_is_shown_once_and_only_its_hash_is_kept(command: KeyCommand) -> None:
    words = ("--role", "operator", "--models", "m")
    code, out, err = await command.run_apart("add", "ann", *words)
    assert code == 0
    secret = out.strip()
    assert len(secret.removeprefix("sidestream_")) >= 43
    assert secret not in err
    assert "not shown again" in err
    kept = command.file.read_text()
    assert secret.removeprefix("sidestream_") not in kept
    assert digest_of(secret) in kept
    _, listed, _ = await command.run_apart("list")
    assert listed.startswith("ann: operator, m, made ")
    assert secret not in listed


async def test_only_the_owner_may_read_the_file(command: KeyCommand) -> None:
    for name in ("ann", "bob"):
        await command.run("add", name)
        assert stat.S_IMODE(command.file.stat().st_mode) == 0o600
    assert [path.name for path in command.file.parent.iterdir()] == [command.file.name]


async def test_no_two_keys_are_alike(command: KeyCommand) -> None:
    made = await asyncio.gather(*(command.run_apart("add", f"k{number}") for number in range(6)))
    assert len({out for _, out, _ in made}) == 6
    # All at once, and none is lost.
    assert len(KeyFile(command.file.parent, "default").read()) == 6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "ann"), "there is a key 'ann' already"),
        (("add", "a b"), "'a b' is no name for a key"),
        (("add", "new\n"), "'new\\n' is no name for a key"),
        (("add", "x" * 65), "is no name for a key"),
        (("add", "new", "--models", "m,typo"), "--models: typo is not in the settings"),
        (("add", "new", "--models", ","), "--models: nothing is not in the settings"),
        (("add", "new", "--models", "x*"), "--models: x* is not in the settings"),
        (("add", "new", "--models", "bax/m"), "which have m, box/*"),
        (("add", "new", "--models", "box/"), "--models: box/ is not in the settings"),
        (("add", "new", "--expires", "soon"), "--expires: expected a time such as 30d"),
        (("add", "new", "--expires", "2020-01-01"), "--expires: 2020-01-01 is past already"),
        (("add", "new", "--expires", "999999w"), "--expires: expected a time"),
        (("remove", "bob"), "there is no key 'bob'; there are: ann"),
    ],
)
async def test_invalid_key_commands_are_explained_and_change_nothing(
    command: KeyCommand, words: tuple[str, ...], said: str
) -> None:
    await command.run("add", "ann")
    before = command.file.read_bytes()
    code, out, err = await command.run(*words)
    assert (code, out) == (1, "")
    assert said in err
    assert command.file.read_bytes() == before


@pytest.mark.parametrize(
    ("server", "access", "said"),
    [
        ("", "", "everybody on this machine gets in without a key, as an operator"),
        ("host = 0.0.0.0", "", "nobody gets in, and the server does not start without a key"),
        ("host = 0.0.0.0", "insecure = yes", "everybody who reaches the server gets in without"),
    ],
)
async def test_removing_the_last_key_says_who_gets_in(
    command: KeyCommand, server: str, access: str, said: str
) -> None:
    text = command.settings.read_text().replace("[server]", f"[server]\n{server}")
    command.settings.write_text(f"{text}[access]\n{access}\n")
    for name in ("ann", "bob"):
        await command.run("add", name)
    assert await command.run("remove", "ann") == (0, "", "The key 'ann' is revoked.\n")
    code, _, err = await command.run("remove", "bob")
    assert code == 0
    assert f"It was the last one. From now on {said}" in err


DAMAGES = [
    b"",
    b"{",
    b"[]",
    b"\x00" * 100,
    b'{"version": 2, "keys": []}',
    b'{"version": 1, "keys": [{}]}',
    b'{"version": 1, "keys": [], "more": 1}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: repr(damage[:20]))
async def test_a_damaged_file_is_left_as_it_is(command: KeyCommand, damage: bytes) -> None:
    command.file.parent.mkdir()
    command.file.write_bytes(damage)
    command.file.chmod(0o600)
    for words in (("add", "ann"), ("remove", "ann"), ("list",)):
        code, out, err = await command.run(*words)
        assert (code, out) == (1, "")
        assert str(command.file) in err
        assert "left as it is" in err
    assert command.file.read_bytes() == damage


async def test_two_keys_of_one_name_or_one_hash_are_damage(command: KeyCommand) -> None:
    await command.run("add", "ann")
    content = json.loads(command.file.read_text())
    (key,) = content["keys"]
    for twin in ({**key, "digest": "0" * 64}, {**key, "name": "bob"}):
        command.file.write_text(json.dumps({"version": 1, "keys": [key, twin]}))
        with pytest.raises(KeysUnusable, match="two keys have one"):
            KeyFile(command.file.parent, "default").read()


async def test_a_file_that_others_may_write_is_refused(command: KeyCommand) -> None:
    await command.run("add", "ann")
    command.file.chmod(0o666)
    code, _, err = await command.run("list")
    assert code == 1
    assert "others may write it" in err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_a_file_of_somebody_else_is_refused(command: KeyCommand) -> None:
    await command.run("add", "ann")
    os.chown(command.file, 65534, -1)
    code, _, err = await command.run("list")
    assert code == 1
    assert "another user's" in err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_keys_made_by_root_are_read_by_the_one_whose_folder_it_is(
    command: KeyCommand,
) -> None:
    """Or the server would keep to the keys it knows, since it may not read the new ones."""
    await command.run("add", "ann")
    os.chown(command.file.parent, 65534, -1)
    await command.run("add", "bob")
    assert command.file.stat().st_uid == 65534
    code, out, _ = await command.run("list")
    assert (code, len(out.splitlines())) == (0, 2)


def test_a_writer_that_died_leaves_the_old_keys(command: KeyCommand) -> None:
    file = KeyFile(command.file.parent, "default")
    file.change(lambda keys: keys)
    file.path.with_name(f"{file.path.name}.new").write_text("half a fi")

    def die(keys: object) -> tuple[()]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        file.change(die)
    assert file.read() == ()
    file.change(lambda keys: keys)
    assert not file.path.with_name(f"{file.path.name}.new").exists()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5_400), ("12h", 43_200), ("30d", 2_592_000), ("1w", 604_800), ("1970-01-02", 172_800)],
)
def test_times_and_dates_are_understood(text: str, seconds: float) -> None:
    """A date is meant up to its end, in UTC."""
    assert parse_expiry(text, 0.0) == seconds


async def test_a_key_may_be_for_models_of_a_server_by_name_or_pattern(command: KeyCommand) -> None:
    for number, models in enumerate(("box/qwen3:8b", "box/*", "b*/llama*", "m*", "*", "m,box/a")):
        code, _, err = await command.run("add", f"k{number}", "--models", models)
        assert code == 0, err
    _, listed, _ = await command.run("list")
    assert "k2: user, b*/llama*, made " in listed
