"""What a swarm's tasks and nodes tell, as real managers have said it."""

from typing import Any

import pytest

from server.models.diagnosis.causes import explain_exit
from server.models.runners.base import Condition, Observation, Replica
from server.models.runners.containers.demultiplexer import Demultiplexer
from server.models.runners.swarm.errors import no_node
from server.models.runners.swarm.states import (
    ALIVE,
    ENDED,
    Task,
    cause_of_end,
    condition,
    current_task,
    exit_code,
    read_node,
    read_service,
    read_task,
    was_told_to_stop,
)

LABELS = {"sidestream.instance": "test", "sidestream.model": "org/a.b", "sidestream.replica": "2"}


def task(state: str, *, code: int = 0, error: str = "", **shown: Any) -> Task:
    status = {
        "State": state,
        "Message": shown.pop("message", ""),
        "Err": error,
        "ContainerStatus": {"ExitCode": code},
        "PortStatus": {"Ports": [{"PublishedPort": 32768}, {"PublishedPort": 32768}]},
    }
    spec = {"ContainerSpec": {"Labels": LABELS}}
    desired = shown.pop("desired", "running")
    return read_task(
        {"ID": "t", "NodeID": "n", "Spec": spec, "Status": status, "DesiredState": desired, **shown}
    )


def node(state: str = "ready", *, availability: str = "active", **shown: Any) -> Any:
    said = {
        "ID": "n",
        "Spec": {"Availability": availability, "Labels": shown.pop("labels", {})},
        "Description": {"Hostname": "node1", "Resources": {}},
        "Status": {"State": state, "Addr": "10.0.0.1"},
    }
    return read_node(said | shown)


def test_a_server_runs_only_where_its_task_its_node_and_swarm_say_so() -> None:
    assert condition(task("running"), node()) is Condition.RUNNING
    assert condition(task("running"), node("unknown")) is Condition.RUNNING
    assert condition(task("running"), node("down")) is Condition.UNKNOWN
    assert condition(task("running", desired="shutdown"), node()) is Condition.UNKNOWN
    assert {condition(task(state), node()) for state in ALIVE - {"running"}} == {Condition.UNKNOWN}
    assert {condition(task(state), node()) for state in ENDED} == {Condition.EXITED}


def test_a_task_is_read_with_its_one_port_and_its_replica() -> None:
    read = task("running")
    assert (read.ports, read.replica) == ((32768,), Replica("test", "org/a.b", 2))
    pending = read_task({"ID": "t", "Spec": {}, "Status": {"State": "pending"}})
    assert (pending.node_id, pending.replica, pending.ports) == ("", None, ())


@pytest.mark.parametrize(
    ("shown", "address"),
    [
        ({}, "10.0.0.1"),
        ({"ManagerStatus": {"Addr": "10.0.0.9:2377"}}, "10.0.0.9"),
        ({"ManagerStatus": {"Addr": "[fd00::1]:2377"}}, "fd00::1"),
        ({"labels": {"sidestream.address": "203.0.113.5"}}, "203.0.113.5"),
    ],
)
def test_where_a_node_is_reached(shown: dict[str, Any], address: str) -> None:
    assert node(**shown).address == address


def test_the_wanted_task_counts_and_else_the_newest() -> None:
    old = task("shutdown", desired="shutdown", CreatedAt="1", ID="old")
    new = task("running", CreatedAt="2", ID="new", Slot=1)
    more = task("running", CreatedAt="1", ID="more", Slot=2)
    assert current_task([old, more, new]) == new
    newer = task("failed", CreatedAt="3", ID="newer")
    assert current_task([old, newer]) == newer
    assert current_task([]) is None


PORT = "starting container failed: driver failed: Error starting userland proxy: listen tcp4 "
PORT += "0.0.0.0:8080: bind: address already in use"
EXEC = 'starting container failed: exec: "/nonexistent": stat /nonexistent: no such file or '
EXEC += "directory: unknown"
ENDS: dict[str, tuple[Task, Any, str, int | None]] = {
    "exit 1": (task("failed", code=1, error="task: non-zero exit (1)"), node(), "", 1),
    "exit 0": (task("complete", message="finished"), node(), "", 0),
    "killed": (task("failed", code=137, error="task: non-zero exit (137)"), node(), "killed", 137),
    "reboot": (
        task("failed", code=255, error="task: non-zero exit (255)"),
        node(),
        "node_lost",
        255,
    ),
    "no image": (
        task("rejected", message="preparing", error="No such image: nosuch:1"),
        node(),
        "image_missing",
        None,
    ),
    "no program": (
        task("failed", message="starting", code=127, error=EXEC),
        node(),
        "image_unusable",
        None,
    ),
    "port taken": (
        task("failed", message="starting", code=128, error=PORT),
        node(),
        "port_taken",
        None,
    ),
    "no folder": (
        task(
            "rejected",
            message="preparing",
            error="invalid mount config for type bind: bind source path does not exist: /hf/hub",
        ),
        node(),
        "cache_missing",
        None,
    ),
    "no folder, in newer words": (
        task("rejected", error="invalid bind mount source, source path not found: /hf/hub"),
        node(),
        "cache_missing",
        None,
    ),
    "orphaned": (task("orphaned"), node("down"), "node_lost", None),
    "unfit": (
        task("rejected", error="assigned node no longer meets constraints"),
        node("down"),
        "node_lost",
        None,
    ),
    "drained": (
        task("shutdown", desired="shutdown"),
        node(availability="drain"),
        "node_lost",
        None,
    ),
    "given up": (task("shutdown", desired="shutdown"), node(), "node_lost", None),
}


@pytest.mark.parametrize(("ended", "place", "code", "exit_"), ENDS.values(), ids=ENDS)
def test_every_end_has_its_cause(ended: Task, place: Any, code: str, exit_: int | None) -> None:
    cause = cause_of_end(ended, place, 1, is_replaced=False)
    assert (cause.code if cause else "") == code
    assert exit_code(ended) == exit_
    assert not was_told_to_stop(ended, place, 1, is_replaced=False)
    if cause:
        assert cause.hint or code == "port_taken"
        seen = Observation(Replica("test", "a"), Condition.EXITED, exit_code=exit_, cause=cause)
        explained = explain_exit(seen)
        assert (explained.message, (explained.details or {})["cause"]) == (cause.message, code)


def test_a_service_that_is_to_have_no_task_was_stopped_by_somebody() -> None:
    ended = task("shutdown", desired="shutdown")
    assert was_told_to_stop(ended, node(), 0, is_replaced=False)
    replaced = cause_of_end(ended, node(), 1, is_replaced=True)
    assert replaced is not None
    assert replaced.code == "gone"


def test_services_of_others_are_not_read() -> None:
    template = {"ContainerSpec": {"Image": "a@sha256:1"}}
    spec = {"Labels": LABELS, "TaskTemplate": template, "Mode": {"Replicated": {"Replicas": 0}}}
    ours = read_service({"ID": "s", "Spec": spec})
    assert ours is not None
    assert (ours.replica.number, ours.wanted, ours.image) == (2, 0, "a@sha256:1")
    assert (
        read_service({"ID": "s", "Spec": {**spec, "Labels": {"sidestream.instance": "x"}}}) is None
    )


def test_why_no_node_takes_a_model_is_told_in_swarms_own_words() -> None:
    said = "no suitable node (insufficient resources on 3 nodes)"
    error = no_node(said)
    assert said in error.message
    assert (error.details or {})["cause"] == "no_node"


def test_what_an_engine_says_of_a_log_is_no_line_of_it() -> None:
    said = b"Error grabbing logs: incomplete log stream: node n is not available"
    frame = bytes([3, 0, 0, 0]) + len(said).to_bytes(4, "big") + said
    (line,) = Demultiplexer().feed(frame)
    assert (line.stream, line.text) == ("sidestream", said.decode())
