"""The sources of images, one record each in a file of its own; a new one is listed here."""

from ecgutils.synth.sources import archive, fax, office, photo, thermal, vector
from ecgutils.synth.sources.base import DEFAULT_SCAN_SIZE, Source

_LISTED = (vector.SOURCE, office.SOURCE, fax.SOURCE, thermal.SOURCE, archive.SOURCE)
SCANS: dict[str, Source] = {source.name: source for source in _LISTED}
SCAN_SOURCES = tuple(SCANS)
PHOTO_SOURCE = photo.SOURCE.name
SOURCES = (*SCAN_SOURCES, PHOTO_SOURCE)
