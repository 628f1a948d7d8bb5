"""The checks themselves, in the order in which they are shown."""

import http.client
import os
import platform
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import run
from server.doctor.commands import check_commands
from server.doctor.containers import (
    check_containers,
    check_docker_engines,
    check_leftovers,
)
from server.doctor.docker import DockerUnavailable, ask_docker
from server.doctor.findings import Check, Finding, Level, Wanted
from server.doctor.ports import why_not_free
from server.doctor.servers import check_keys, check_servers
from server.doctor.state import check_state
from server.doctor.swarm import check_swarm

HUB_SECONDS = 3.0
GIB = 1 << 30
HUB = "https://huggingface.co"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
CHROMIUM_APP = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"


def check_python(_: Wanted) -> Finding:
    """Tell which Python this is; run.py itself refuses those that are too old."""
    seen = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("python", "ok", seen)


def check_environment(_: Wanted) -> Finding:
    """See whether the virtual environment is there and as the lock file says."""
    if run.is_prepared(run.RUN_LOCK):
        return Finding("environment", "ok", f"{run.VENV} is as {run.RUN_LOCK} says")
    seen = f"{run.VENV} is {'not up to date' if run.read_record() else 'not there'}"
    return Finding("environment", "warn", seen, "Nothing to do: python3 run.py makes it.")


def check_settings(wanted: Wanted) -> Finding:
    """See whether the settings can be used."""
    if wanted.problems is None:
        return Finding("settings", "warn", "can be read only once the environment is there")
    if wanted.problems:
        return Finding("settings", "fail", "; ".join(wanted.problems), "Correct settings.ini.")
    if wanted.unseen:
        mend = "Nothing to do if the gateway has another environment, or runs as another user."
        return Finding("settings", "warn", "; ".join(wanted.unseen), mend)
    return Finding("settings", "ok", "settings.ini and the environment agree with the tables")


def check_docker(wanted: Wanted) -> Finding:
    """Ask the Docker engine for its version."""
    try:
        version = ask_docker("/version", wanted.docker_host)
    except DockerUnavailable as error:
        mend = f"Only models in containers need it. {error.mend}"
        return Finding("docker", "warn", error.seen, mend)
    return Finding("docker", "ok", f"engine {version['Version']}, API {version['ApiVersion']}")


def check_gpu(_: Wanted) -> Finding:
    """Look for an NVIDIA or AMD GPU and its driver."""
    program = shutil.which("nvidia-smi")
    if program:
        query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, timeout=3, check=False)
        if done.returncode == 0:
            return Finding("gpu", "ok", "; ".join(done.stdout.strip().splitlines()))
    if program or Path("/dev/nvidia0").exists():
        mend = "Install or mend the NVIDIA driver; models use the CPU meanwhile."
        return Finding("gpu", "warn", "an NVIDIA GPU whose driver does not answer", mend)
    if Path("/dev/kfd").exists():
        return Finding("gpu", "ok", "an AMD GPU (/dev/kfd)")
    return Finding("gpu", "ok", "none; models use the CPU")


def check_disk(wanted: Wanted) -> Finding:
    """See whether there is room for weights, and for images if there is a Docker engine."""
    places = {"weights": (wanted.weights_dir.expanduser(), 0.5, 3)}
    try:
        docker_root: Path | None = Path(ask_docker("/info", wanted.docker_host)["DockerRootDir"])
    except DockerUnavailable:
        docker_root = None
    # The engine may keep its files inside a virtual machine, or on another one.
    if docker_root and docker_root.exists():
        # TGI's image alone takes about 12 GB, and as much again while it is unpacked.
        places["images"] = (docker_root, 0, 25)
    if docker_root and wanted.container_models:
        places["hub models"] = (wanted.hf_cache.expanduser(), 0, 5)
    seen, is_short, is_full = [], False, False
    for what, (place, needed_gib, wished_gib) in places.items():
        existing = next(parent for parent in (place, *place.parents) if parent.exists())
        free_gib = shutil.disk_usage(existing).free / GIB
        seen.append(f"{free_gib:.1f} GB free for {what} ({place})")
        is_full |= free_gib < needed_gib
        is_short |= free_gib < wished_gib
    level: Level = "fail" if is_full else "warn" if is_short else "ok"
    mend = "Make room, or set another weights_dir or hf_cache." if is_short else ""
    return Finding("disk", level, ", ".join(seen), mend)


def check_hub(_: Wanted) -> Finding:
    """See whether the hub that models are downloaded from can be reached."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        return Finding("hub", "ok", "not asked: HF_HUB_OFFLINE is set")
    url = os.environ.get("HF_ENDPOINT") or HUB
    mend = "Only hub models that are not downloaded yet need it. Check the network and HF_ENDPOINT."
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310  it is the user's own setting
    try:
        with urllib.request.urlopen(request, timeout=HUB_SECONDS):  # noqa: S310
            pass
    except urllib.error.HTTPError:
        return Finding("hub", "ok", f"{url} answers")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        return Finding("hub", "warn", f"{url} cannot be reached: {reason}", mend)
    return Finding("hub", "ok", f"{url} answers")


def check_server_port(wanted: Wanted) -> Finding:
    """See whether the server's own port is free."""
    place = f"{wanted.host}:{wanted.port}"
    problem = why_not_free(wanted.host, wanted.port)
    if not problem:
        return Finding("server port", "ok", f"{place} is free")
    if " -m server" in problem:
        return Finding("server port", "ok", f"{place} is {problem}: Sidestream is running")
    mend = f"Stop that, or take another: python3 run.py --port {max(1024, wanted.port + 1)}"
    return Finding("server port", "fail", f"{place}: {problem}", mend)


def check_model_ports(wanted: Wanted) -> Finding:
    """See which of the model servers' ports are free."""
    first, last = wanted.model_ports
    problems = {port: why_not_free("127.0.0.1", port) for port in range(first, last + 1)}
    taken = [f"{port} is {problem}" for port, problem in problems.items() if problem]
    if not taken:
        return Finding("model ports", "ok", f"{first} to {last} are free")
    if len(taken) == len(problems):
        mend = "Stop those, or set other `ports`."
        return Finding("model ports", "fail", "; ".join(taken), mend)
    return Finding("model ports", "ok", "; ".join([*taken, "the others are free"]))


def check_memory(_: Wanted) -> Finding:
    """See how many cores there are and how much memory is free."""
    free = 0
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            free = int(line.split()[1]) * 1024 if line.startswith("MemAvailable:") else free
    except FileNotFoundError:
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    seen = f"{os.cpu_count()} cores, {free / GIB:.1f} GB of memory"
    if free < GIB:
        return Finding("memory", "warn", seen, "The smallest model needs 0.5 GB; close something.")
    return Finding("memory", "ok", seen)


def check_test_tools(_: Wanted) -> Finding:
    """See whether the programs are there that only tests need."""
    tools = {"Chromium": find_chromium(), "Node.js": shutil.which("npm") and shutil.which("node")}
    missing = [name for name, path in tools.items() if not path]
    if missing:
        seen = f"no {' and no '.join(missing)}; the tests that need it are skipped"
        return Finding("test tools", "warn", seen, "python3 run.py test --system")
    return Finding("test tools", "ok", ", ".join(str(path) for path in tools.values()))


CHECKS: tuple[Check, ...] = (
    check_python,
    check_environment,
    check_settings,
    check_memory,
    check_gpu,
    check_disk,
    check_state,
    check_server_port,
    check_model_ports,
    check_docker,
    check_containers,
    check_docker_engines,
    check_leftovers,
    check_swarm,
    check_commands,
    check_keys,
    check_servers,
    check_hub,
    check_test_tools,
)


def find_chromium() -> str | None:
    """Return the path of an installed Chromium or Chrome."""
    found = (shutil.which(name) for name in (*CHROMIUM_NAMES, CHROMIUM_APP))
    return next((path for path in found if path), None)
