"""What models in a swarm need of it: managers, nodes, GPUs; its gateways, and what is left over."""

import json
from typing import Any, Final
from urllib.parse import quote

from server.core.docker_engine import LABEL_INSTANCE, LABEL_MODEL, number_of, service_name
from server.doctor.docker import DockerUnavailable, ask_docker
from server.doctor.findings import Finding, Wanted
from server.doctor.state import check_gateways

_NANO: Final = 1_000_000_000
# Longer, and a dead node's models stay away for more than ten seconds.
_BRISK_SECONDS: Final = 2.0
_SAFE_MANAGERS: Final = 3


def check_swarm(wanted: Wanted) -> Finding:
    """See whether a manager can be asked, and whether its nodes can run models."""
    if wanted.swarm_models is None:
        return Finding("swarm", "ok", "cannot be told while the settings cannot be read")
    if not wanted.swarm_models:
        return Finding("swarm", "ok", "no model runs in one")
    try:
        manager = manager_of(wanted)
        nodes = ask_docker("/nodes", manager)
        spec = ask_docker("/swarm", manager)["Spec"]
        gateways = check_gateways(ask_docker("/services", manager))
    except DockerUnavailable as error:
        return Finding("swarm", "warn", error.seen, error.mend)
    seen, mends = _nodes(nodes)
    heartbeat = (spec.get("Dispatcher") or {}).get("HeartbeatPeriod", 0) / _NANO
    seen.append(f"heartbeat {heartbeat:g} s")
    if heartbeat > _BRISK_SECONDS:
        mends.append("Notice dead nodes sooner: docker swarm update --dispatcher-heartbeat 1s.")
    seen += gateways[0]
    mends += gateways[1]
    left = _left(wanted, manager)
    if left:
        seen.append(f"left over: {', '.join(left)}")
        mends.append("Remove them: python3 run.py doctor --clean")
    return Finding("swarm", "warn" if mends else "ok", "; ".join(seen), " ".join(mends))


def clean_swarm(wanted: Wanted) -> list[str]:
    """Remove services that belong to no model, and return their names.

    Raises `DockerUnavailable`. Without models in a swarm nothing is looked for.
    """
    if not wanted.swarm_models:
        return []
    manager = manager_of(wanted)
    left = _left(wanted, manager)
    for name in left:
        ask_docker(f"/services/{name}", manager, method="DELETE")
        for secret in _labelled("secrets", wanted, manager):
            if secret["Spec"]["Name"] == name:
                ask_docker(f"/secrets/{secret['ID']}", manager, method="DELETE")
    return left


def manager_of(wanted: Wanted) -> str:
    """Return the first address at which a manager answers; raises `DockerUnavailable`."""
    trouble: DockerUnavailable | None = None
    for host in wanted.swarm_hosts or ("",):
        try:
            swarm = ask_docker("/info", host).get("Swarm") or {}
        except DockerUnavailable as error:
            trouble = trouble or error
            continue
        if swarm.get("Error"):
            trouble = DockerUnavailable(
                f"the managers cannot decide: {swarm['Error']}",
                "Start managers again until most of them run.",
            )
        elif swarm.get("ControlAvailable"):
            return host
        else:
            place = "a worker" if swarm.get("LocalNodeState") == "active" else "in no swarm"
            trouble = DockerUnavailable(
                f"{host or 'this engine'} is {place}",
                "Name managers in `host` of [swarm], or make a swarm: docker swarm init.",
            )
    raise trouble or DockerUnavailable("no manager is named", "Set `host` in [swarm].")


def _nodes(nodes: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Return what is seen of the nodes, and what to mend."""
    seen, mends, versions = [], [], set()
    managers = 0
    for node in nodes:
        described = node["Description"]
        name, version = described["Hostname"], described["Engine"]["EngineVersion"]
        versions.add(version)
        managers += "ManagerStatus" in node
        state, availability = node["Status"]["State"], node["Spec"]["Availability"]
        words = [name, version, *([] if availability == "active" else [availability])]
        generic = (described.get("Resources") or {}).get("GenericResources") or []
        kinds = [one["Kind"] for several in generic for one in several.values()]
        words += [f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)]
        if state != "ready":
            words.append(state)
            mends.append(f"See why {name} is {state}.")
        seen.append(" ".join(words))
    if len(versions) > 1:
        mends.append(f"Have one version of the engine on all nodes, not {', '.join(versions)}.")
    if 1 < managers < _SAFE_MANAGERS:
        mends.append(f"Have one manager or three: of {managers} none may be lost.")
    if not any(node["Spec"]["Availability"] == "active" for node in nodes):
        mends.append("Let a node take models: docker node update --availability active NODE.")
    return seen, mends


def _left(wanted: Wanted, manager: str) -> list[str]:
    """Return the names of the instance's services that belong to no model."""
    found = []
    for service in _labelled("services", wanted, manager):
        labels, name = service["Spec"]["Labels"], service["Spec"]["Name"]
        model = labels.get(LABEL_MODEL, "")
        # Under another name it is somebody else's.
        is_ours = name == service_name(wanted.instance, model, number_of(labels))
        if is_ours and model not in (wanted.swarm_models or ()):
            found.append(name)
    return sorted(found)


def _labelled(kind: str, wanted: Wanted, manager: str) -> list[dict[str, Any]]:
    filters = quote(json.dumps({"label": [f"{LABEL_INSTANCE}={wanted.instance}"]}))
    listed: list[dict[str, Any]] = ask_docker(f"/{kind}?filters={filters}", manager)
    return listed
