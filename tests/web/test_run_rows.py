"""A run's rows over HTTP: filtered, sorted, searched; and what is wrong with that refused."""

import pytest

from tests.web.conftest import StartWithFake
from tests.web.gateway import Gateway
from tests.web.test_runs import made, over

TARGETS = [{"model": "m"}, {"model": "m", "name": "short", "parameters": {"max_new_tokens": 1}}]


async def begun(gateway: Gateway) -> str:
    """Carry out a run of two prompts: one passes at the target that is not cut."""
    given = {"prompt_set": await made(gateway), "targets": TARGETS}
    run: str = (await gateway.post("/runs", given)).json["id"]
    await over(gateway, run)
    return run


async def test_rows_are_filtered_sorted_and_searched(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(text="It is Paris.")
    run = await begun(gateway)

    async def shown(query: str) -> tuple[int, int, list[int]]:
        found = (await gateway.get(f"/runs/{run}/rows?{query}")).json
        return found["total"], found["matching"], [row["prompt"] for row in found["rows"]]

    assert await shown("") == (2, 2, [0, 1])
    assert await shown("show=failed") == (2, 2, [0, 1])
    assert await shown("show=disagree") == (2, 1, [0])
    assert await shown("show=cut&first=1") == (2, 2, [1])
    assert await shown("show=errors") == (2, 0, [])
    assert await shown("sort=failed") == (2, 2, [1, 0])
    assert await shown("search=PERU") == (2, 1, [1])
    assert await shown("search=lima") == (2, 1, [1])
    assert await shown("search=is%20paris") == (2, 2, [0, 1])
    assert await shown("search=%20") == (2, 2, [0, 1])
    assert await shown("search=%25&show=all") == (2, 0, [])
    assert await shown("show=unvoted") == (2, 2, [0, 1])
    vote = {"among": [0, 1], "winners": [0]}
    await gateway.ask("PUT", f"/runs/{run}/prompts/0/vote", vote)
    assert await shown("show=unvoted") == (2, 1, [1])


@pytest.mark.parametrize(
    "query", ["show=some", "sort=up", "first=-1", "count=0", f"search={'x' * 201}"]
)
async def test_what_is_no_choice_is_refused(before_fake: StartWithFake, query: str) -> None:
    gateway, _ = await before_fake(answer_tokens=1)
    run = await begun(gateway)
    reply = await gateway.get(f"/runs/{run}/rows?{query}")
    assert (reply.status, reply.json["error"]["code"]) == (400, "invalid_command")
    assert f"`{query.partition('=')[0]}`" in reply.json["error"]["message"]


@pytest.mark.parametrize("search", ["%ED%A0%80", "%00", "%F0%9F%92%A9", "%FF"])
async def test_odd_characters_are_searched_for(before_fake: StartWithFake, search: str) -> None:
    gateway, _ = await before_fake(answer_tokens=1)
    run = await begun(gateway)
    reply = await gateway.get(f"/runs/{run}/rows?search={search}")
    assert (reply.status, reply.json["matching"]) == (200, 0)
