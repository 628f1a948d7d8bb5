"""A TGI server whose model has no chat template: asked plainly, by ours, or by the model's file."""

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import KeepLog
from tests.real.over_servers import SHORT, over, remote
from tests.support.dialogue import QUESTION
from tests.support.real_servers import SERVERS, has, tgi

__test__ = has("tgi")

TEMPLATE = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant] "


@pytest.fixture(autouse=True)
def _log(tmp_path: Path, keep_log: KeepLog) -> None:
    keep_log("the gateway", tmp_path / "server.log")


def without_template(folder: Path) -> Path:
    """Make a model in `folder` that is the small one but for its template."""
    folder.mkdir(parents=True)
    for file in (SERVERS / "tgi" / "model").iterdir():
        if file.name != "tokenizer_config.json":
            shutil.copyfile(file, folder / file.name)
    said = json.loads((SERVERS / "tgi" / "model" / "tokenizer_config.json").read_text())
    said.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    return folder


async def test_without_any_template_it_says_so_and_stops_at_the_next_role(tmp_path: Path) -> None:
    model = without_template(tmp_path / "model")
    server = tgi("--model-id", str(model))
    async with server, over(remote(server), tmp_path / "gateway") as o:
        seen = await o.state("m", "ready")
        assert not seen["capabilities"]["chat"]
        _, end = await o.answer("m", {"messages": QUESTION})
        (notice,) = end["notices"]
        assert notice["code"] == "no_chat_template"
        _, end = await o.answer("m", {"prompt": "A text is as it is"})
        assert "notices" not in end


async def test_a_template_from_the_settings_renders(tmp_path: Path) -> None:
    model = without_template(tmp_path / "model")
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "mine.jinja").write_text(TEMPLATE)
    async with tgi("--model-id", str(model)) as server:
        settings = remote(server, "chat_template = mine.jinja")
        async with over(settings, tmp_path / "gateway") as o:
            seen = await o.state("m", "ready")
            assert seen["capabilities"]["chat"]
            text, end = await o.answer("m", {"messages": QUESTION}, parameters=SHORT)
            assert "notices" not in end
            prompt = f"[user] {QUESTION[0]['content']}\n[assistant] "
            plain, _ = await o.answer("m", {"prompt": prompt}, parameters=SHORT)
            assert text == plain
            # It was looked at when the settings were read; what became of it is told later.
            (tmp_path / "gateway" / "mine.jinja").unlink()
            server.kill_process("text-generation-router")
            failed = await o.state("m", "failed")
            failed = await o.sees("m", lambda m: "mine.jinja" in str(m["error"] or {}))
            assert "`chat_template`" in failed["error"]["hint"]


async def test_the_models_own_file_renders_where_its_cache_is_here(tmp_path: Path) -> None:
    hub = tmp_path / "hf" / "hub"
    repository = hub / "models--org--small"
    snapshot = without_template(repository / "snapshots" / "abc123")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc123")
    (snapshot / "chat_template.jinja").write_text(TEMPLATE)
    cache = {"HUGGINGFACE_HUB_CACHE": str(hub), "HF_HUB_CACHE": str(hub)}
    async with tgi("--model-id", "org/small", environment=cache) as server:
        settings = f"[docker]\nhf_cache = {tmp_path / 'hf'}\n{remote(server)}"
        async with over(settings, tmp_path / "gateway") as o:
            seen = await o.state("m", "ready")
            assert seen["capabilities"]["chat"]
            _, end = await o.answer("m", {"messages": QUESTION})
            assert "notices" not in end
