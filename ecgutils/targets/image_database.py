"""Several images of one page, `<id>/<id>-0001.png`: PhysioNet's ECG-Image-Database (arXiv 2409.16612), Kaggle 2025."""

import re
from pathlib import Path

from ecgutils.findings import FINDINGS
from ecgutils.manifest import manifest_from_paths
from ecgutils.targets.base import Labelled, Target, all_to_train, images, left_out
from ecgutils.targets.table import sheet_by_id, sheet_rows

KINDS = {  # as the data page of Kaggle's physionet-ecg-image-digitization says
    "0001": "original", "0003": "colour scan", "0004": "grey scan", "0005": "phone photo", "0006": "screen photo",
    "0009": "photo of stained paper", "0010": "photo of damaged paper", "0011": "colour scan of mouldy paper",
    "0012": "grey scan of mouldy paper",
}  # fmt: skip


def read_image_database(path: Path) -> Labelled:
    """One row per image: `image_source` is its kind, `record_id` the ID, so that images of one page stay together.

    Labels, and patients if it has them, are of a CSV with IDs and findings in the folder; without one they are unknown.
    """
    found = images(path)
    photos = [photo for photo in found if _named(photo)]
    ids = [photo.parent.name for photo in photos]
    rows = sheet_rows(sheet_by_id(path), ids, path)
    numbers = [photo.stem.rpartition("-")[2] for photo in photos]
    manifest = manifest_from_paths(
        photos, str(path), record_id=ids, image_source=[KINDS.get(number, number) for number in numbers],
        patient_id=rows["patient"].tolist(), **rows[list(FINDINGS)].to_dict("list"),
    )  # fmt: skip
    return all_to_train(manifest, left_out(found, photos, "not named <id>/<id>-0001"))


def _named(photo: Path) -> bool:
    return re.fullmatch(re.escape(photo.parent.name) + r"-\d{4}", photo.stem) is not None


def _matches(path: Path) -> bool:
    return path.is_dir() and any(map(_named, images(path)))


TARGET = Target("image_database", _matches, read_image_database)
