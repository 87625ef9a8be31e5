"""The uploaded files are real, and damage to them is noticed."""

import csv
import io

import pytest
import shapefile

from sessionguard.cli.demo.datasets import SHAPEFILE_PARTS, new_dataset, read_wards
from sessionguard.cli.demo.markers import markers_in, new_marker


def test_shapefile_is_valid_and_carries_the_marker_in_every_row() -> None:
    """A GIS reader finds polygons in the shapefile, each with the state and the marker as attributes."""
    marker = new_marker("kebbi")
    files = new_dataset("kebbi", marker).files
    shp, shx, dbf = (io.BytesIO(files[part]) for part in SHAPEFILE_PARTS[:3])
    with shapefile.Reader(shp=shp, shx=shx, dbf=dbf) as reader:
        assert reader.shapeTypeName == "POLYGON"
        assert len(reader) >= 12
        for entry in reader.iterShapeRecords():
            assert entry.record["source"] == marker
            assert entry.record["state"] == "kebbi"
            assert entry.shape.points[0] == entry.shape.points[-1]
            assert -180 <= entry.shape.bbox[0] <= entry.shape.bbox[2] <= 180
    assert files["wards.prj"].startswith(b"GEOGCS[")


def test_wards_are_read_back() -> None:
    """What was written is what is read."""
    marker = new_marker("benue")
    wards = read_wards(new_dataset("benue", marker).files)
    assert wards.states == {"benue"}
    assert wards.markers == {marker}


def test_table_carries_the_marker_in_every_row() -> None:
    """Each row of the CSV names the state and the marker, as many rows as there are wards."""
    marker = new_marker("ebonyi")
    files = new_dataset("ebonyi", marker).files
    rows = list(csv.DictReader(io.StringIO(files["ebonyi_tpr_cleaned.csv"].decode())))
    assert {(row["state"], row["source"]) for row in rows} == {("ebonyi", marker)}
    assert len(rows) == read_wards(files).shape_count


def test_marker_is_found_in_the_bytes() -> None:
    """The marker stands in the CSV and in the attribute file, where a client can find it without parsing."""
    marker = new_marker("plateau")
    files = new_dataset("plateau", marker).files
    assert {name for name, content in files.items() if marker in markers_in(content)} == {
        "plateau_tpr_cleaned.csv",
        "wards.dbf",
    }


def _damaged(kind: str) -> dict[str, bytes]:
    ours = dict(new_dataset("kebbi", "MARK-kebbi-0000000000000001").files)
    theirs = new_dataset("benue", "MARK-benue-0000000000000003").files
    match kind:
        case "attributes of another set":
            ours["wards.dbf"] = theirs["wards.dbf"]
        case "index of another set":
            ours["wards.shx"] = theirs["wards.shx"]
        case "cut short":
            ours["wards.shp"] = ours["wards.shp"][:-100]
        case "part missing":
            del ours["wards.shx"]
        case "torn by two writers":
            ours["wards.shp"] = ours["wards.shp"][:1000] + theirs["wards.shp"][1000:]
        case "no shapefile":
            ours["wards.shp"] = b"<html>"
    return ours


@pytest.mark.parametrize(
    "kind",
    ["attributes of another set", "index of another set", "cut short", "part missing", "torn by two writers",
     "no shapefile"],
)  # fmt: skip
def test_damage_is_noticed(kind: str) -> None:
    """Parts that are missing, cut, torn or of different sets are refused with `ValueError`."""
    with pytest.raises(ValueError, match=r"shape|attribute|set"):
        read_wards(_damaged(kind))
