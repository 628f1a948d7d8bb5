"""Lines of a model server's log in a judge's error: told to operators, whoever's the judge is."""

from server.core.protocol import ErrorInfo
from server.runs.judge_shapes import JudgeGiven
from server.web.keys import RUNS
from tests.access.conftest import Open
from tests.access.test_shared_runs import a_run


async def test_lines_of_a_log_are_told_to_operators_only_by_whatever_shows_a_judge(
    open_keyed: Open,
) -> None:
    keyed = await open_keyed(text="Paris.")
    store = keyed.gateway.app[RUNS].store
    error = ErrorInfo("model_failed", "it died", details={"log": ["private"], "cause": "gone"})
    for key, is_told in (("op", True), ("use", False)):
        run = await a_run(keyed, key=key)
        stored = await store.run_of_anybody(run)
        judge = await store.judges.add(stored.number, JudgeGiven("m", "well?"))
        await store.judges.set_state(judge.number, "incomplete", error)
        judges = f"/runs/{run}/judges"
        for method, path in (
            ("GET", judges),
            ("POST", f"{judges}/{judge.judge.id}/pause"),
            ("POST", f"{judges}/{judge.judge.id}/pause?wait=0"),
        ):
            reply = await keyed.ask(method, path, key=key)
            assert reply.status == 200, reply.text
            assert '"cause":"gone"' in reply.text
            assert ('"log":["private"]' in reply.text) == is_told, (key, path)
