"""The sources of images, one record each; a scan's is in a file of its own, and a new one is listed here."""

from ecgutils.synth.sources import archive, fax, office, thermal, vector
from ecgutils.synth.sources.base import DEFAULT_SCAN_SIZE, Source

_LISTED = (vector.SOURCE, office.SOURCE, fax.SOURCE, thermal.SOURCE, archive.SOURCE)
SCANS: dict[str, Source] = {source.name: source for source in _LISTED}
SCAN_SOURCES = tuple(SCANS)
PHOTO = Source(  # whatever lies under a phone: in the photographs we know, mostly carts' dotted or faint grids
    name="photo",
    layout={"3x4+1": 12, "3x4": 4, "3x4+2": 1, "3x4+3": 3, "6x2": 1, "6x2+1": 1, "12x1": 1},
    palette={"cart": 10, "brick": 3, "faint": 2, "red": 3, "crimson": 2, "pink": 2, "grey": 2}
    | {"green": 1, "orange": 1, "blue": 1},
    grid={"lines": 12, "stipple": 3, "coarse": 1, "millimetre": 0.5, "none": 0.5},
    separator={"dotted": 5, "none": 3, "ticks": 2, "cross": 1, "line": 1},
    font={"serif-bold": 3, "serif": 4, "sans": 2, "sans-bold": 2, "mono": 1, "mono-bold": 1, "roman": 1},
    paper={"strip": 5, "letter": 1, "a4": 2},
    trace_mm=0.28,
    plotted=0.3,
    noted=0.15,
)
PHOTO_SOURCE = PHOTO.name
SOURCES = (*SCAN_SOURCES, PHOTO_SOURCE)
