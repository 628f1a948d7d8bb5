"""An operator sees in Prometheus what happens, and looking changes nothing."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.core.errors import StorageFailed
from server.settings.models import ModelSettings
from server.web.keys import RUNS
from tests.conftest import StartFake
from tests.support.dialogue import CEILING_SECONDS
from tests.web.conftest import Start, StartWithFake
from tests.web.gateway import Gateway, own, remote
from tests.web.speaking import ready, speaking

DASHBOARD = Path(__file__).resolve().parents[2] / "docs" / "grafana.json"
# Of these, a client could make as many as it likes.
LABELS = {
    *(
        "version",
        "method",
        "route",
        "status",
        "command",
        "outcome",
        "code",
        "model",
        "state",
        "replica",
    ),
    *("le", "err"),
}
QUESTION: dict[str, Any] = {"model": "m", "inputs": "Why?", "parameters": {"max_new_tokens": 5}}


class Scrape:
    """One answer of `/metrics`, read by Prometheus' own parser."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = list(text_string_to_metric_families(text))
        self.samples = [sample for family in self.families for sample in family.samples]

    def sum(self, name: str, **labels: str) -> float:
        """Return the sum of all samples of that name that have those labels."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def has(self, name: str, **labels: str) -> bool:
        return any(s.name == name and labels.items() <= s.labels.items() for s in self.samples)


async def scrape(gateway: Gateway) -> Scrape:
    reply = await gateway.get("/metrics")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return Scrape(reply.text)


async def test_an_answer_is_counted_with_its_tokens_and_its_times(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake()
    assert (await gateway.post("/generate", QUESTION)).status == 200
    seen = await scrape(gateway)
    assert seen.sum("sidestream_generations_total", model="m", outcome="length", code="") == 1
    assert seen.sum("sidestream_completion_tokens_total", model="m") == 5
    assert seen.sum("sidestream_prompt_tokens_total", model="m") == 2
    for name, count in (
        ("queue_seconds", 1),
        ("first_token_seconds", 1),
        ("first_answer_seconds", 1),
        ("first_reasoning_seconds", 0),
        ("token_seconds", 4),
        ("seconds", 1),
    ):
        assert seen.sum(f"sidestream_generation_{name}_count", model="m") == count, name
    route = {"method": "POST", "route": "/generate", "status": "200"}
    assert seen.sum("sidestream_requests_total", **route) == 1
    assert seen.sum("sidestream_request_seconds_count", route="/generate") == 1


async def test_thinking_is_counted_apart_from_the_answer(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(text="<think>" + "well " * 40 + "</think>It is")
    assert (await gateway.post("/generate", QUESTION | {"parameters": {}})).status == 200
    # Cut off before there is an answer.
    cut = {"parameters": {"max_new_tokens": 20}}
    assert (await gateway.post("/generate", QUESTION | cut)).status == 200
    seen = await scrape(gateway)
    for name, count in (("token", 2), ("reasoning", 2), ("answer", 1)):
        counted = f"sidestream_generation_first_{name}_seconds_count"
        assert seen.sum(counted, model="m") == count, name
    thoughts = seen.sum("sidestream_reasoning_tokens_total", model="m")
    assert 0 < thoughts < seen.sum("sidestream_completion_tokens_total", model="m")
    first = "sidestream_generation_first_{}_seconds_sum"
    assert seen.sum(first.format("reasoning")) >= seen.sum(first.format("token"))


async def test_a_cold_start_is_told_apart_from_a_warm_first_token(cold: Start) -> None:
    gateway = await cold()
    for warm in (0, 1):
        assert (await gateway.post("/generate", QUESTION)).status == 200
        seen = await scrape(gateway)
        assert seen.sum("sidestream_generation_starting_seconds_count", model="m") == 1
        counted = "sidestream_generation_warm_first_token_seconds_count"
        assert seen.sum(counted, model="m") == warm


async def test_how_answers_end_is_told_apart(before_fake: StartWithFake) -> None:
    gateway, fake = await before_fake(hold_after=1)
    body = {**QUESTION, "parameters": {}}
    async with gateway.open("/generate_stream", body) as response:
        await response.content.readline()
        assert (await scrape(gateway)).sum("sidestream_generations_running", model="m") == 1
    await asyncio.wait_for(fake.state.reaches(cancelled=1), CEILING_SECONDS)
    refused = await gateway.post("/generate", {**QUESTION, "inputs": "word " * 5000})
    assert refused.status == 422
    seen = await scrape(gateway)
    assert seen.sum("sidestream_generations_total", outcome="cancelled") == 1
    failed = {"model": "m", "outcome": "failed", "code": "prompt_too_long"}
    assert seen.sum("sidestream_generations_total", **failed) == 1
    assert seen.sum("sidestream_generations_running", model="m") == 0


async def test_sockets_and_their_commands_are_counted(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    async with speaking(gateway) as client:
        await client.say(type="hello")
        await client.say(type="ping")
        assert (await client.try_to(type="start", model="nobody"))["type"] == "error"
        seen = await scrape(gateway)
    assert seen.sum("sidestream_sockets") == 1
    assert seen.sum("sidestream_sessions") == 1
    assert seen.sum("sidestream_commands_total", command="ping", outcome="ok") == 1
    assert seen.sum("sidestream_commands_total", command="start", outcome="unknown_model") == 1


async def test_a_scrape_wakes_no_model(cold: Start) -> None:
    gateway = await cold()
    seen = await scrape(gateway)
    assert seen.sum("sidestream_model_state", model="m", state="stopped") == 1
    assert seen.sum("sidestream_model_starts_total", model="m") == 0
    assert not seen.has("sidestream_engine_figures_available")


async def test_starts_crashes_and_restarts_are_counted(cold: Start) -> None:
    gateway = await cold("--die-after", "2")
    await gateway.post("/generate", QUESTION)
    await gateway.post("/models/m/start?wait=30")
    seen = await scrape(gateway)
    assert seen.sum("sidestream_model_crashes_total", model="m") == 1
    assert seen.sum("sidestream_model_restarts_total", model="m") == 1
    assert seen.sum("sidestream_model_starts_total", model="m") == 2
    assert seen.sum("sidestream_model_start_seconds_count", model="m") == 2
    assert seen.sum("sidestream_model_state", model="m", state="ready") == 1


async def test_each_engine_has_its_own_figures_and_a_silent_one_holds_nobody_up(
    start_gateway: Start, fake_tgi: StartFake
) -> None:
    figures = "# TYPE tgi_queue_size gauge\ntgi_queue_size 7\nsidestream_sockets 99\n"
    silent = await fake_tgi(silent_metrics=True)
    models = {
        "m": remote((await fake_tgi(metrics=figures)).url),
        "b": remote((await fake_tgi()).url),
        "silent": remote(silent.url),
        "talkative": remote((await fake_tgi(metrics="x 1\n" * 1_000_000)).url),
        "cold": own(),
    }
    gateway = await start_gateway(models)
    async with speaking(gateway) as client:
        for model in models:
            if model != "cold":
                await ready(client, model)
    several = await asyncio.gather(*(scrape(gateway) for _ in range(3)))
    assert silent.state.metrics_requests == 1, "all three were answered by one round"
    for seen in several:
        assert seen.sum("tgi_queue_size", model="m") == 7
        assert seen.has("tgi_queue_size", model="b")
        available = {
            sample.labels["model"]: sample.value
            for sample in seen.samples
            if sample.name == "sidestream_engine_figures_available"
        }
        assert available == {"m": 1, "b": 1, "silent": 0, "talkative": 0}
        assert seen.sum("sidestream_sockets") == 0


async def test_replicas_have_a_label(start_gateway: Start, fake_tgi: StartFake) -> None:
    figures = "# TYPE tgi_queue_size gauge\ntgi_queue_size {}\n"
    urls = tuple([(await fake_tgi(metrics=figures.format(number))).url for number in (5, 7)])
    gateway = await start_gateway({"m": ModelSettings(runner="remote", urls=urls)})
    await gateway.until(lambda m: [one.state for one in m.replicas or ()] == ["ready"] * 2)
    async with speaking(gateway) as client:
        (answer,) = await client.ask("m", prompt="Say it.", parameters={"max_new_tokens": 3})
        await client.end(answer)
    seen = await scrape(gateway)
    for number in ("1", "2"):
        assert seen.sum("sidestream_replica_state", model="m", replica=number, state="ready") == 1
        assert seen.sum("sidestream_replica_answers", model="m", replica=number) == 0
    assert seen.sum("tgi_queue_size", model="m", replica="1") == 5
    assert seen.sum("tgi_queue_size", model="m", replica="2") == 7
    assert seen.sum("sidestream_model_state", model="m", state="ready") == 1
    assert seen.sum("sidestream_engine_figures_available", model="m") == 1


async def test_invented_names_never_become_labels(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    for number in range(30):
        await gateway.post("/generate", {**QUESTION, "model": f"made-up-{number}"})
        await gateway.get(f"/models/made-up-{number}")
        await gateway.get(f"/made-up-{number}?made-up-{number}")
        await gateway.ask("PROPFIND", "/models")
        await gateway.get("/health", headers={"Host": f"made-up-{number}"})
    async with speaking(gateway) as client:
        await client.try_to(type="start", model="made-up-1")
        await client.try_to(type="made-up-1")
    seen = await scrape(gateway)
    assert "made-up" not in seen.text.lower()
    assert {label for sample in seen.samples for label in sample.labels} <= LABELS
    assert seen.sum("sidestream_requests_total", route="unknown", status="404") == 30
    assert seen.sum("sidestream_requests_total", method="other") == 30


async def test_the_process_tells_of_itself(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    seen = await scrape(gateway)
    assert seen.sum("process_resident_memory_bytes") > 10_000_000
    assert seen.has("sidestream_event_loop_lag_seconds_bucket", le="+Inf")
    assert seen.sum("sidestream_info") == 1


async def test_every_query_of_the_dashboard_names_what_there_is(
    start_gateway: Start, fake_tgi: StartFake
) -> None:
    urls = tuple([(await fake_tgi()).url for _ in range(2)])
    gateway = await start_gateway({"m": ModelSettings(runner="remote", urls=urls)})
    await gateway.post("/generate", QUESTION)
    seen = await scrape(gateway)
    names = {sample.name for sample in seen.samples}
    # What has no value has no sample; its family is declared.
    names |= {f"{family.name}_total" for family in seen.families if family.type == "counter"}
    names |= {family.name for family in seen.families if family.type == "gauge"}
    dashboard = json.loads(DASHBOARD.read_text())
    queries = [
        target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())
    ]
    queries += [
        variable["query"]["query"]
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
    ]
    assert len(queries) > 20
    for query in queries:
        asked = set(re.findall(r"\b(?:sidestream|tgi|process)_\w+", query))
        assert asked, query
        assert asked <= names, query


async def test_every_figure_of_ours_is_on_the_dashboard(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    text = DASHBOARD.read_text()
    ours = {f.name for f in (await scrape(gateway)).families if f.name.startswith("sidestream_")}
    assert [name for name in sorted(ours) if name not in text] == ["sidestream_info"]


async def begin_run(gateway: Gateway, prompts: int = 2) -> str:
    """Begin a run; return its id."""
    lines = "\n".join(f"Prompt {number}?" for number in range(prompts)).encode()
    kept = await gateway.ask("PUT", "/prompt-sets?form=lines", data=lines)
    given = {"prompt_set": kept.json["id"], "targets": [{"model": "m"}]}
    run: str = (await gateway.post("/runs", given)).json["id"]
    return run


async def test_runs_are_counted_with_their_answers_and_judges(before_fake: StartWithFake) -> None:
    gateway, fake = await before_fake(hold_after=1, text="It is fine.")
    run = await begin_run(gateway)
    await fake.state.reaches(started=1)
    seen = await scrape(gateway)
    assert seen.sum("sidestream_runs", state="running") == 1
    assert seen.sum("sidestream_runs") == 1
    await gateway.post(f"/runs/{run}/cancel")
    fake.state.release()
    seen = await scrape(gateway)
    assert (seen.sum("sidestream_runs", state="cancelled"), seen.sum("sidestream_runs")) == (1, 1)
    assert seen.sum("sidestream_run_answers_total") == 0
    await gateway.post(f"/runs/{run}/continue")
    await gateway.get(f"/runs/{run}/events")
    judge = {"model": "m", "criteria": "Is it kind?"}
    made = await gateway.post(f"/runs/{run}/judges", judge)
    assert made.status == 201, made.text
    judge_task = f"judge {made.json['id']}"
    if tasks := [one for one in asyncio.all_tasks() if one.get_name() == judge_task]:
        await asyncio.wait(tasks, timeout=CEILING_SECONDS)
    seen = await scrape(gateway)
    assert seen.sum("sidestream_runs", state="done") == 1
    assert seen.sum("sidestream_run_answers_total", outcome="stop", code="") == 2
    assert seen.sum("sidestream_run_answers_waiting") == 0
    # The fake says the same to everybody, which is no grade.
    assert seen.sum("sidestream_judge_answers_total", outcome="unreadable") == 2


async def test_answers_of_runs_that_fail_and_are_asked_again_are_counted(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake(error_after=1)
    run = await begin_run(gateway, prompts=1)
    await gateway.get(f"/runs/{run}/events")
    seen = await scrape(gateway)
    assert seen.sum("sidestream_run_answers_total", outcome="failed", code="engine_error") == 1
    assert seen.sum("sidestream_run_answers_asked_again_total") == 2


async def test_where_runs_cannot_be_read_the_other_figures_still_come(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, _ = await before_fake()

    async def broken() -> dict[str, int]:
        raise StorageFailed("the disk is gone")

    monkeypatch.setattr(gateway.app[RUNS].store, "states", broken)
    seen = await scrape(gateway)
    assert not seen.has("sidestream_runs")
    assert seen.has("sidestream_run_answers_waiting")
