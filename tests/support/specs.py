"""Settings and catalogues of models for tests."""

import shlex
import sys
from pathlib import Path
from typing import Any

from server.models.catalogue.catalog import Catalog, ModelSpec, build_catalog
from server.settings.models import ModelSettings
from server.settings.tables import Settings
from server.settings.upstreams import UpstreamSettings
from tests.support import program


def catalog(
    upstreams: dict[str, dict[str, Any]] | None = None, /, **models: dict[str, Any]
) -> Catalog:
    """Return a catalogue of models with those settings; `a_b` stands for the id `a-b`.

    Of `upstreams` there are the models that their settings name whole.
    """
    return build_catalog(
        Settings(
            models={
                model_id.replace("_", "-"): ModelSettings(**settings)
                for model_id, settings in models.items()
            },
            upstreams={
                name: UpstreamSettings(**settings) for name, settings in (upstreams or {}).items()
            },
        )
    )


def spec(weights: str, model_id: str = "a") -> ModelSpec:
    """Return a model of our own with those weights."""
    return catalog(**{model_id: {"weights": weights}}).get(model_id)


def command_spec(what: str, *more: str, **settings: Any) -> ModelSpec:
    """Return a model whose command is `tests/support/program.py` told to do that."""
    words = [sys.executable, "-S", "-E", str(Path(program.__file__)), what, "--port", "{port}"]
    words += more
    if what == "missing":
        words = ["/nonexistent/engine", "{port}"]
    model = {"runner": "command", "command": shlex.join(words), **settings}
    return catalog(a=model).get("a")
