"""The small file that `laulima init` writes: the template, with the place of the schema for editors filled in."""

from __future__ import annotations

from pathlib import Path

TEMPLATE = Path(__file__).parent.parent / "pipeline_template.yaml"
MARK = "SCHEMA"


def schema_path() -> Path | None:
    """The schema file of this installation: in the package, or beside it in a checkout; None when it is in neither."""
    package = Path(__file__).parent.parent
    places = (package / "configs" / "schema.json", package.parent / "configs" / "schema.json")
    return next((place for place in places if place.is_file()), None)


def pipeline_text() -> str:
    """The text of a new `pipeline.yaml`. Without a schema at hand it has no line for editors."""
    text = TEMPLATE.read_text(encoding="utf-8")
    place = schema_path()
    if place is None:
        return text.partition("\n")[2]
    return text.replace(MARK, place.as_uri(), 1)
