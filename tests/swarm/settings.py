"""The settings of a gateway over the bed's swarm."""

from pathlib import Path
from typing import Final

from tests.swarm.bed import Bed

ON_WORKERS: Final = "constraints = node.role == worker\n"
_SETTINGS: Final = """\
[engines]
on_exit = stop
{engines}
[swarm]
host = {manager}
image = {fake}
allowed_images = sidestream-test/*
hf_cache = {cache}
stop_grace = 2
{swarm}
"""


def settings_of(
    bed: Bed, fake: str, folder: Path, models: str, *, engines: str = "", swarm: str = ON_WORKERS
) -> str:
    """Return settings with these models, and with more lines in `[engines]` and `[swarm]`.

    Makes an empty cache for the models in `folder`.
    """
    cache = folder / "hf"
    (cache / "hub").mkdir(parents=True)
    manager = bed.manager.host
    ours = _SETTINGS.format(manager=manager, fake=fake, cache=cache, engines=engines, swarm=swarm)
    return ours + models
