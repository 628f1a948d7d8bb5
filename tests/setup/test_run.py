"""run.py: the first start sets up, the second does not, and no way of dying in between matters."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.setup.conftest import ROOT, Project


def told(out: str) -> dict[str, object]:
    """Return what the stand-in for the server told of itself: the last line."""
    answer: dict[str, object] = json.loads(out.splitlines()[-1])
    return answer


def test_first_start_sets_up_and_becomes_the_server(project: Project, tmp_path: Path) -> None:
    words = ("--host", "::1", "--port", "0", "--settings", "my.ini")
    process = project.start(*words, cwd=tmp_path)
    out, err = process.communicate(timeout=100)

    assert process.returncode == 0, err
    assert "making the virtual environment" in out
    assert "fetching 1 of 1: tinydep==1.0" in out
    server = told(out)
    assert server["pid"] == process.pid
    assert server["cwd"] == str(project.folder)
    # A relative path means the caller's folder, not the project's.
    assert server["argv"] == ["--host=::1", "--port=0", f"--settings={tmp_path}/my.ini"]
    assert not (project.folder / ".venv.wheels").exists()


def test_second_start_calls_no_pip(set_up: Project) -> None:
    shutil.rmtree(set_up.package.parent / "pip")

    done = set_up.run()

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert not set_up.index.asked.is_set()


@pytest.mark.parametrize("words", [(), ("reload",)])
def test_bytecode_is_kept_for_the_next_start(set_up: Project, words: tuple[str, ...]) -> None:
    """Regression: under PYTHONDONTWRITEBYTECODE each start took a third of a second longer."""
    shutil.rmtree(set_up.folder / "server/__pycache__", ignore_errors=True)
    (set_up.folder / "server/reload.py").write_text("")
    refusing = set_up.environment | {"PYTHONDONTWRITEBYTECODE": "1"}
    assert set_up.run(*words, env=refusing).returncode == 0
    module = words[0] if words else "__main__"
    assert [*set_up.folder.glob(f"server/__pycache__/{module}.*.pyc")]


def test_exit_code_is_the_servers(set_up: Project) -> None:
    (set_up.folder / "server/__main__.py").write_text("raise SystemExit(7)")
    assert set_up.run("run").returncode == 7


def test_settings_may_be_named_before_the_verb(set_up: Project, tmp_path: Path) -> None:
    (set_up.folder / "server/__main__.py").write_text("")
    program = set_up.folder / "server/reload.py"
    program.write_text("import json, sys; print(json.dumps(sys.argv[1:]))")
    for words in (("--settings", "my.ini", "reload"), ("reload", "--settings", "my.ini")):
        done = set_up.run(*words, cwd=tmp_path)
        assert done.stdout.splitlines()[-1] == json.dumps([f"--settings={tmp_path}/my.ini"])


def test_changed_lock_is_installed_once(set_up: Project) -> None:
    lock = set_up.folder / "requirements.lock"
    lock.write_text(f"{lock.read_text().rstrip()} \\\n    --hash=sha256:{'0' * 64}\n    # via x\n")
    assert "Setting up" in set_up.run().stdout
    assert "Setting up" not in set_up.run().stdout


def test_folder_may_be_moved(set_up: Project) -> None:
    set_up.folder = set_up.folder.rename(set_up.folder.with_name("elsewhere"))
    done = set_up.run()
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_environment_cut_off_while_installing_is_made_anew(set_up: Project) -> None:
    set_up.package.write_text("VALUE = 'half a fi")
    set_up.record.unlink()

    done = set_up.run()

    assert done.returncode == 0, done.stderr
    assert "making the virtual environment" in done.stdout
    assert told(done.stdout)["tinydep"] == 42


@pytest.mark.parametrize("damage", ["another Python", "an upgraded system", "a foreign record"])
def test_useless_environment_does_not_count(set_up: Project, damage: str) -> None:
    look = [sys.executable, "-c", "import run; print(run.is_prepared(run.RUN_LOCK))"]
    assert subprocess.check_output(look, cwd=set_up.folder, text=True) == "True\n"
    if damage == "another Python":
        record = json.loads(set_up.record.read_text())
        set_up.record.write_text(json.dumps(record | {"for": "Python 3.2 on plan9 vax"}))
    elif damage == "an upgraded system":
        # It leaves a link to an interpreter that is gone.
        (set_up.folder / ".venv/bin/python").unlink()
    else:
        set_up.record.write_text("[]")
    assert subprocess.check_output(look, cwd=set_up.folder, text=True) == "False\n"


def test_finished_downloads_are_not_fetched_again(half_set_up: Project) -> None:
    names = [f"tiny{number}" for number in range(9)]
    half_set_up.pin(*names, "tinydep")
    half_set_up.index.broken = "tiny8"
    assert half_set_up.run().returncode == 1
    fetched = set(half_set_up.index.fetched)
    assert fetched >= set(names[:8])
    half_set_up.index.fetched.clear()
    half_set_up.index.broken = ""

    done = half_set_up.run()

    assert done.returncode == 0, done.stderr
    assert set(half_set_up.index.fetched) == {"tiny8", "tinydep"}
    assert "fetching 9 of 10: tiny8==1.0" in done.stdout


def test_no_network_is_one_line_and_the_next_start_goes_on(half_set_up: Project) -> None:
    nobody = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    cut_off = half_set_up.run(env=half_set_up.environment | nobody)

    assert cut_off.returncode == 1
    (line,) = cut_off.stderr.splitlines()
    assert line.startswith("Set-up stopped: the package index cannot be reached. Check the network")
    assert half_set_up.run().returncode == 0


def test_failed_update_leaves_what_was_installed(set_up: Project) -> None:
    """Downloading touches nothing, so going back to the old lock needs no network."""
    lock = set_up.folder / "requirements.lock"
    before = lock.read_text()
    lock.write_text(before.replace("1.0", "2.0"))
    assert set_up.run().returncode == 1
    set_up.index.asked.clear()

    lock.write_text(before)

    assert set_up.run().returncode == 0
    assert not set_up.index.asked.is_set()


def test_forged_download_is_refused(half_set_up: Project) -> None:
    half_set_up.index.tail = b"evil"
    done = half_set_up.run()
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "a download is not what the lock file expects" in line


def test_killed_run_leaves_a_pip_that_the_next_one_waits_for(half_set_up: Project) -> None:
    half_set_up.index.may_answer.clear()
    first = half_set_up.start()
    assert half_set_up.index.asked.wait(timeout=100)
    first.kill()
    first.communicate(timeout=100)

    second = half_set_up.start()
    assert second.stdout is not None
    assert "waiting for it" in second.stdout.readline()
    half_set_up.index.may_answer.set()

    out, err = second.communicate(timeout=100)
    assert second.returncode == 0, err
    assert told(out)["tinydep"] == 42


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_the_set_up_leaves_no_pip_behind(half_set_up: Project, number: int) -> None:
    half_set_up.index.may_answer.clear()
    process = half_set_up.start(start_new_session=True)
    assert half_set_up.index.asked.wait(timeout=100)

    # Ctrl-C reaches the whole group, SIGTERM one process.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    # The pipes close only when nobody of the group holds them any more.
    _, err = process.communicate(timeout=100)

    assert process.returncode == (1 if number == signal.SIGINT else 128 + number)
    assert "Traceback" not in err
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_missing_ensurepip_is_one_line_with_the_package_to_install(project: Project) -> None:
    done = run_with("sys.modules['ensurepip'] = None", project)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"apt install python3.{sys.version_info.minor}-venv" in line


def test_old_python_is_one_line(project: Project) -> None:
    done = run_with("sys.version_info = (3, 9, 2, 'final', 0)", project)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Sidestream needs Python 3.11 or newer.")


def test_windows_is_one_line(project: Project) -> None:
    done = run_with("sys.platform = 'win32'", project)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "WSL" in line


def run_with(change: str, project: Project) -> subprocess.CompletedProcess[str]:
    """Run run.py after a change to what it sees of its Python."""
    script = f"import runpy, sys\n{change}\nsys.argv = ['run.py']\n"
    script += "runpy.run_path('run.py', run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=project.folder,
        env=project.environment,
        text=True,
        capture_output=True,
        check=False,
    )


def test_old_python_can_parse_it() -> None:
    ast.parse((ROOT / "run.py").read_text(), feature_version=(3, 6))
