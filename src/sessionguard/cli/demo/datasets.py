"""What one user uploads: a CSV and a shapefile set, real files that carry the user's marker in every row."""

import csv
import io
import random
import warnings

import shapefile
from attrs import frozen

_WGS84 = (
    b'GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],'
    b'PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]'
)
_WARD_DEGREES = 0.05
SHAPEFILE_PARTS = ("wards.shp", "wards.shx", "wards.dbf", "wards.prj")
"""Every user's shapefile has these names, as it was in the incident: whoever shares a folder overwrites."""


@frozen
class Dataset:
    """The files of one upload by name, and the marker inside them."""

    state: str
    marker: str
    files: dict[str, bytes]


@frozen
class WardsRead:
    """What a GIS reader finds in a shapefile set."""

    shape_count: int
    states: frozenset[str]
    markers: frozenset[str]


def new_dataset(state: str, marker: str) -> Dataset:
    """Give files with as many wards as the marker happens to choose, so that mixed-up sets do not fit together."""
    ward_count = random.Random(marker).randint(12, 40)
    files = {f"{state}_tpr_cleaned.csv": _table(state, marker, ward_count)}
    files.update(zip(SHAPEFILE_PARTS, _shapefile_set(state, marker, ward_count), strict=True))
    return Dataset(state, marker, files)


def read_wards(files: dict[str, bytes]) -> WardsRead:
    """Read a shapefile set as a GIS reader does; by one thread at a time, for it turns warnings into errors.

    Raises:
        ValueError: the parts are missing, damaged or not of one set.
    """
    try:
        parts = {part[-3:]: io.BytesIO(files[part]) for part in SHAPEFILE_PARTS[:3]}
        # A size that disagrees with the header is only a warning to the reader; to us it is damage.
        with warnings.catch_warnings(action="error"), shapefile.Reader(**parts) as reader:
            shapes = reader.shapes()
            rows = [record.as_dict() for record in reader.records()]
    except Exception as error:
        # The reader trusts its input: a file that two users wrote at once fails it with nearly any error.
        raise ValueError(f"not a shapefile set: {error!r}") from error
    if len(shapes) != len(rows):
        raise ValueError(f"{len(shapes)} shapes but {len(rows)} attribute rows: the parts are not of one set")
    if not all(shape.points for shape in shapes):
        raise ValueError("a ward has no outline")
    return WardsRead(len(shapes), frozenset(row["state"] for row in rows), frozenset(row["source"] for row in rows))


def _table(state: str, marker: str, ward_count: int) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["state", "ward", "tested", "positive", "source"])
    for number in range(1, ward_count + 1):
        writer.writerow([state, f"{state} ward {number}", 100 + number, 10 + number, marker])
    return text.getvalue().encode()


def _shapefile_set(state: str, marker: str, ward_count: int) -> tuple[bytes, bytes, bytes, bytes]:
    shp, shx, dbf = io.BytesIO(), io.BytesIO(), io.BytesIO()
    place = random.Random(state)
    west, south = place.uniform(3.0, 13.0), place.uniform(5.0, 12.0)
    with shapefile.Writer(shp=shp, shx=shx, dbf=dbf, shapeType=shapefile.POLYGON) as writer:
        writer.field("state", "C", size=24)
        writer.field("ward", "C", size=40)
        writer.field("source", "C", size=64)
        for number in range(ward_count):
            writer.poly([_square(west + number % 6 * _WARD_DEGREES, south + number // 6 * _WARD_DEGREES)])
            writer.record(state, f"{state} ward {number + 1}", marker)
    return shp.getvalue(), shx.getvalue(), dbf.getvalue(), _WGS84


def _square(west: float, south: float) -> list[tuple[float, float]]:
    east, north = west + _WARD_DEGREES, south + _WARD_DEGREES
    # Clockwise and closed, as the format asks of an outer ring.
    return [(west, south), (west, north), (east, north), (east, south), (west, south)]
