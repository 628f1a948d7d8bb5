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
