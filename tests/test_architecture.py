"""docs/architecture.md names files that there are, and its picture is drawn from the contract of the rooms."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FIGURE = runpy.run_path(str(ROOT / "docs" / "figures" / "architecture.py"))


def test_every_file_that_the_page_names_is_there():
    named = set(re.findall(r"`((?:[a-z_]+/)+[\w.]*|[a-z_]+\.py)`", PAGE))
    assert len(named) > 30
    for name in named:
        assert any((ROOT / base / name).exists() for base in ("", "qtwin")), name


def test_the_picture_shows_every_room_and_every_box_a_file():
    rooms = {room for floor in FIGURE["floors"]() for room in floor}
    entries = {path.stem for path in (ROOT / "qtwin").iterdir() if not path.name.startswith(("__", "py.typed"))}
    assert rooms == entries
    for *_, where in FIGURE["BOXES"].values():
        for file in where.replace("NAME", "dqn").split(", "):
            assert (ROOT / "qtwin" / file).exists(), file


def test_the_picture_is_drawn_by_its_script(tmp_path):
    FIGURE["main"](tmp_path / "architecture.png")
    assert (tmp_path / "architecture.png").stat().st_size > 50_000
