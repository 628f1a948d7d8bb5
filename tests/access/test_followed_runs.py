"""Runs are followed by those alone whose they are."""

from tests.access.conftest import Open


async def test_runs_of_others_are_unknown_and_untold(open_keyed: Open) -> None:
    keyed = await open_keyed(answer_tokens=2)
    headers = {"Content-Type": "application/json"}
    given = b'{"name": "s", "prompts": ["One?"]}'
    kept = await keyed.ask("POST", "/prompt-sets", key="op", data=given, headers=headers)
    body = f'{{"prompt_set": "{kept.json["id"]}", "targets": [{{"model": "m"}}]}}'
    async with keyed.speaking("use") as other, keyed.speaking("op") as owner:
        assert (await other.ask("follow_runs"))["result"] == {}
        await owner.ask("follow_runs")
        reply = await keyed.ask("POST", "/runs", key="op", data=body.encode(), headers=headers)
        run = reply.json["id"]
        await owner.hear_until(lambda e: e["type"] == "run" and e["run"]["state"] == "done")
        failed = await other.ask("follow_runs", runs=[run])
        assert failed["error"]["code"] == "unknown_run"
        assert not [e for e in other.events if e["type"] == "run"]


async def test_shared_runs_are_followed_as_readers_see_them_until_that_ends(
    open_keyed: Open,
) -> None:
    keyed = await open_keyed(answer_tokens=2)
    headers = {"Content-Type": "application/json"}
    given = b'{"name": "s", "prompts": ["One?"]}'
    kept = await keyed.ask("POST", "/prompt-sets", key="op", data=given, headers=headers)
    body = f'{{"prompt_set": "{kept.json["id"]}", "targets": [{{"model": "m"}}]}}'
    reply = await keyed.ask("POST", "/runs", key="op", data=body.encode(), headers=headers)
    path = f"/runs/{reply.json['id']}"
    await keyed.ask("GET", f"{path}/events", key="op")
    async with keyed.speaking("use") as reader, keyed.speaking("op") as owner:
        await reader.ask("follow_runs")
        await owner.ask("follow_runs")
        await keyed.ask("PATCH", path, key="op", json={"shared_with": ["use"]})
        seen = await reader.hear_until(lambda e: e["type"] == "run")
        assert (seen["run"]["is_mine"], seen["run"]["shared_with"]) == (False, [])
        own = await owner.hear_until(lambda e: e["type"] == "run" and e["run"]["shared_with"])
        assert (own["run"]["is_mine"], own["run"]["shared_with"]) == (True, ["use"])
        assert (await reader.ask("follow_runs", runs=[reply.json["id"]]))["result"] == {}
        await reader.hear_until(lambda e: e["type"] == "run")
        await keyed.ask("PATCH", path, key="op", json={"shared_with": []})
        gone = await reader.hear_until(lambda e: e["type"] == "run_removed")
        assert gone["run"] == reply.json["id"]
        refused = await reader.ask("follow_runs", runs=[reply.json["id"]])
        assert refused["error"]["code"] == "unknown_run"
        await keyed.ask("PATCH", path, key="op", json={"name": "unseen"})
        await owner.hear_until(lambda e: e["type"] == "run" and e["run"]["name"] == "unseen")
        await reader.ask("ping")
        names = [e["run"]["name"] for e in reader.events if e["type"] == "run"]
        assert "unseen" not in names
