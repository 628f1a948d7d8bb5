"""The Python client follows runs: each state once, over cuts, lost sessions and deletions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from server.client import Client, Rhythm, Run, RunJudge, SidestreamError, connect
from server.web.keys import RUNS, SESSIONS
from tests.conftest import StartFake
from tests.wire.cutter import cutting
from tests.wire.gateway import CEILING_SECONDS, Running, gateway, until

QUICK = Rhythm(min_delay_seconds=0.005, max_delay_seconds=0.05)


@asynccontextmanager
async def with_runs(url: str, tmp_path: Path) -> AsyncIterator[Running]:
    """Run a gateway that keeps runs, with a model `m` at this address."""
    runs = {"enabled": True, "file": str(tmp_path / "runs")}
    async with gateway({"m": url}, runs=runs) as running:
        yield running


async def ask(running: Running, method: str, path: str, **words: Any) -> Any:
    """Make a request; return the JSON of its answer, if it has any."""
    url = f"http://127.0.0.1:{running.port}{path}"
    async with aiohttp.ClientSession() as http, http.request(method, url, **words) as reply:
        assert reply.ok, await reply.text()
        return await reply.json() if reply.status != 204 else None


async def begun(running: Running, prompts: int = 3) -> str:
    """Begin a run of so many prompts; return its id."""
    lines = "\n".join(f"Prompt {number}?" for number in range(prompts)).encode()
    kept = await ask(running, "PUT", "/prompt-sets?form=lines", data=lines)
    given = {"prompt_set": kept["id"], "targets": [{"model": "m"}]}
    run: str = (await ask(running, "POST", "/runs", json=given))["id"]
    return run


async def rename(running: Running, run: str, name: str) -> None:
    """Give a run another name."""
    await ask(running, "PATCH", f"/runs/{run}", json={"name": name})


async def to_the_end(client: Client, *runs: str) -> list[Run]:
    """Return what is told of runs until one is over."""
    told = []
    async with asyncio.timeout(CEILING_SECONDS):
        async for run in client.follow_runs(*runs):
            told.append(run)
            if run.state != "running":
                break
    return told


async def next_of(runs: AsyncIterator[Run]) -> Run:
    """Return the next state that is told."""
    async with asyncio.timeout(CEILING_SECONDS):
        return await anext(runs)


async def test_a_run_is_followed_to_its_end(fake_tgi: StartFake, tmp_path: Path) -> None:
    fake = await fake_tgi(answer_tokens=2, hold_after=1)
    async with with_runs(fake.url, tmp_path) as running, connect(running.url) as client:
        run = await begun(running)
        following = asyncio.create_task(to_the_end(client, run))
        every = asyncio.create_task(to_the_end(client))
        await fake.state.reaches(started=1)
        fake.state.release()
        told = await following
        assert (told[-1].state, told[-1].answered, told[-1].total) == ("done", 3, 3)
        assert told[-1].targets[0].model == "m"
        counts = [one.answered for one in told]
        assert counts == sorted(counts)
        assert (await every)[-1] == told[-1]
        watches = running.app[RUNS].following._watches
        await until(lambda: not watches, "nobody is told for nothing")


async def test_judges_and_votes_of_a_run_are_followed(fake_tgi: StartFake, tmp_path: Path) -> None:
    fake = await fake_tgi(answer_tokens=2)
    async with with_runs(fake.url, tmp_path) as running, connect(running.url) as client:
        run = await begun(running)
        await to_the_end(client, run)
        given = {"model": "m", "criteria": "Is it right?"}
        judge = (await ask(running, "POST", f"/runs/{run}/judges", json=given))["id"]
        async with asyncio.timeout(CEILING_SECONDS):
            async for told in client.follow_runs(run):
                if told.judges and told.judges[0].state == "done":
                    break
        assert told.judges == (RunJudge(judge, "m", "grades", "done", 3, 3),)
        assert (told.state, told.votes) == ("done", 0)


async def test_over_cuts_the_present_state_comes_and_none_is_missed(
    fake_tgi: StartFake, tmp_path: Path
) -> None:
    fake = await fake_tgi(answer_tokens=2)
    async with with_runs(fake.url, tmp_path) as running, cutting(running.port) as cutter:
        run = await begun(running)
        plan = cutter.plan()
        async with connect(plan.url, rhythm=QUICK) as client:
            assert (await to_the_end(client, run))[-1].state == "done"
            session = client.session
            runs = client.follow_runs(run)
            await next_of(runs)
            for number in range(10):
                plan.cut_now()
                await rename(running, run, f"name {number}")
                while (told := await next_of(runs)).name != f"name {number}":
                    pass
            assert client.session == session
            assert plan.connections > 5
            assert told.state == "done"


async def test_in_a_new_session_the_runs_are_followed_again_and_deleted_ones_told(
    fake_tgi: StartFake, tmp_path: Path
) -> None:
    fake = await fake_tgi(answer_tokens=2)
    async with with_runs(fake.url, tmp_path) as running, cutting(running.port) as cutter:
        kept, deleted = await begun(running), await begun(running)
        plan = cutter.plan()
        async with connect(plan.url, rhythm=QUICK) as client:
            both, one = client.follow_runs(kept, deleted), client.follow_runs(deleted)
            for _ in range(2):
                await next_of(both)
            await next_of(one)
            session = client.session
            assert session is not None
            running.app[SESSIONS]._sessions.pop(session)
            # Its deletion is not seen over a socket that does not read.
            service = running.app[RUNS]
            service.following._watches.clear()
            await ask(running, "DELETE", f"/runs/{deleted}")
            plan.cut_now()
            while (told := await next_of(both)).state != "removed":
                pass
            assert (told.id, told.prompts) == (deleted, 3)
            assert [run.state async for run in one][-1] == "removed"
            assert client.session != session
            await rename(running, kept, "later")
            while (await next_of(both)).name != "later":
                pass


async def test_who_names_an_unknown_run_alone_is_refused(
    fake_tgi: StartFake, tmp_path: Path
) -> None:
    fake = await fake_tgi(answer_tokens=2)
    async with with_runs(fake.url, tmp_path) as running, connect(running.url) as client:
        run = await begun(running)
        runs = client.follow_runs(run)
        await next_of(runs)
        for wrong, code in ((("r_no", run), "unknown_run"), (("a b",), "invalid_command")):
            with pytest.raises(SidestreamError) as refused:
                [one async for one in client.follow_runs(*wrong)]
            assert refused.value.code == code
        await rename(running, run, "still")
        while (await next_of(runs)).name != "still":
            pass
        await ask(running, "DELETE", f"/runs/{run}")
        assert [one.state async for one in runs][-1] == "removed"


async def test_where_runs_are_switched_off_or_the_client_is_closed_it_ends_with_an_error(
    fake_tgi: StartFake, tmp_path: Path
) -> None:
    fake = await fake_tgi(answer_tokens=2)
    async with gateway({"m": fake.url}) as running, connect(running.url) as client:
        with pytest.raises(SidestreamError) as refused:
            await next_of(client.follow_runs())
        assert refused.value.code == "runs_off"
    async with with_runs(fake.url, tmp_path) as running:
        async with connect(running.url) as client:
            run = await begun(running)
            runs = client.follow_runs(run)
            await next_of(runs)
        with pytest.raises(SidestreamError) as refused:
            [one async for one in runs]
        assert refused.value.code == "connection_closed"
        with pytest.raises(SidestreamError) as refused:
            await next_of(client.follow_runs(run))
        assert refused.value.code == "connection_closed"
