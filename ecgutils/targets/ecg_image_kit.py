"""Folders of ECG-Image-Kit (github.com/alphanumericslab/ecg-image-kit): pages, what was drawn (WFDB), where (JSON)."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from ecgutils.findings import FINDINGS, LEADS
from ecgutils.geometry import frame_corners
from ecgutils.manifest import CORNER_COLUMNS, manifest_from_paths
from ecgutils.signals.snomed import findings_from_snomed
from ecgutils.targets.base import Labelled, Target, all_to_train, images, label_columns, left_out
from ecgutils.targets.table import sheet_by_id, sheet_rows

GRID_MM = 5  # x_grid is the side of a large box


def read_kit(path: Path) -> Labelled:
    """Pages with the truth that their JSON tells; pages of one record share `record_id`.

    Labels are of a CSV with findings in the folder, by the name of the page or of its record; else of the line "Dx:"
    of the record's header, SNOMED CT codes as in the PhysioNet Challenges; else unknown.

    Columns beside the manifest's: CORNER_COLUMNS and "rotation", where the page was neither turned nor cropped, and
    "lead_boxes", JSON text: lead -> x0, y0, x1, y1 px, a rhythm strip as "II_rhythm"; "" where unknown.
    A JSON that can't be read costs its page the truth, as a note says, not the page.
    """
    found = images(path)
    photos = [photo for photo in found if _belongs(photo)]
    stems, headers = [photo.stem for photo in photos], [_header(photo) for photo in photos]
    sheet = sheet_by_id(path)
    rows = sheet_rows(sheet, [name if name in sheet.index else _stem(name) for name in stems], path)
    diagnosed, unscored = _diagnosed(set(headers))
    labels = label_columns([diagnosed[header] for header in headers])
    if len(sheet):
        labels = rows[list(FINDINGS)].to_dict("list")
    truths = [_truth(photo.with_suffix(".json")) for photo in photos]
    known = [truth or {} for truth in truths]
    unknown = dict.fromkeys((*CORNER_COLUMNS, "rotation", "width", "height", "px_per_mm"), np.nan)
    unknown |= {"layout": "", "lead_boxes": ""}
    columns = {name: [truth.get(name, empty) for truth in known] for name, empty in unknown.items()}
    manifest = manifest_from_paths(
        photos, str(path), image_source="ecg-image-kit", record_id=[header.stem for header in headers],
        patient_id=rows["patient"].tolist(), **labels, **columns,
    )  # fmt: skip
    broken = [photo for photo, truth in zip(photos, truths, strict=True) if truth is None]
    return all_to_train(
        manifest,
        left_out(found, photos, "with neither a JSON nor a header beside"),
        f"{len(broken)} JSON(s) can't be read, beside e.g. {broken[0]}; where things are is unknown." if broken else "",
        f"SNOMED codes that are none of the five findings: {', '.join(sorted(unscored))}." if unscored else "",
    )


def _stem(name: str) -> str:
    """Name of the record of a page: 00001_hr of 00001_hr-0."""
    return re.sub(r"-\d+$", "", name)


def _header(photo: Path) -> Path:
    return photo.with_name(_stem(photo.stem) + ".hea")


def _belongs(photo: Path) -> bool:
    return photo.with_suffix(".json").is_file() or _header(photo).is_file()


def _diagnosed(headers: set[Path]) -> tuple[dict[Path, frozenset[str] | None], set[str]]:
    """Findings by each header, None where it is not there or says nothing, and all codes that are none of them."""
    found: dict[Path, frozenset[str] | None] = {}
    unscored: set[str] = set()
    for header in headers:
        text = header.read_text(encoding="utf-8", errors="replace") if header.is_file() else ""
        line = re.search(r"^#\s*Dx:(.*)$", text, re.MULTILINE | re.IGNORECASE)
        codes = re.findall(r"\d+", line[1]) if line else []
        found[header], others = findings_from_snomed(codes) if codes else (None, ())
        unscored |= {*map(str, others)}
    return found, unscored


def _truth(path: Path) -> dict[str, Any] | None:
    """What the JSON beside a page tells, as columns of a manifest; {} where none is, None if it can't be read."""
    if not path.is_file():
        return {}
    try:
        about = json.loads(path.read_bytes())
        plain = {k: value["val"] if isinstance(value, dict) and "val" in value else value for k, value in about.items()}
        boxes = _boxes(plain.get("leads", []))
        return _places(plain) | ({"lead_boxes": json.dumps(boxes)} if boxes else {})
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OSError):
        return None


def _places(about: dict[str, Any]) -> dict[str, Any]:
    """Size, scale, layout and corners by the kit's settings, numbers or {"val": number}."""
    truth: dict[str, Any] = {}
    if "x_grid" in about:
        truth["px_per_mm"] = float(about["x_grid"]) / GRID_MM
    if "number_of_columns_in_image" in about:
        columns = int(about["number_of_columns_in_image"])
        truth["layout"] = f"{len(LEADS) // columns}x{columns}" + "+1" * (about.get("full_mode_lead") in LEADS)
    if {"width", "height"} <= about.keys():
        border = 2 * float(about.get("pad_inches", 0)) * float(about.get("resolution", 0))  # white, drawn around later
        w, h = (float(about[side]) + border for side in ("width", "height"))
        truth |= {"width": w, "height": h}
        if not (about.get("rotate") or about.get("crop")):  # the settings are upper limits, what was done is not told
            corners = frame_corners((w, h)).ravel().tolist()
            truth |= dict(zip(CORNER_COLUMNS, corners, strict=True)) | {"rotation": 0}
    return truth


def _boxes(leads: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Box of each lead; the kit gives four corners "0" to "3" as [y, x], and the rhythm strip after the leads."""
    boxes: dict[str, list[float]] = {}
    for lead in leads:
        if "lead_bounding_box" in lead:
            corners = np.array([lead["lead_bounding_box"][str(i)] for i in range(4)], dtype=float)
            name = lead["lead_name"] + "_rhythm" * (lead["lead_name"] in boxes)
            boxes[name] = [*corners.min(axis=0)[::-1].tolist(), *corners.max(axis=0)[::-1].tolist()]
    return boxes


def _is_kits(photo: Path) -> bool:
    """A header beside, or a JSON of the kit: other tools write a JSON beside a photo, too."""
    beside = photo.with_suffix(".json")
    return _header(photo).is_file() or (beside.is_file() and b'"x_grid"' in beside.read_bytes())


def _matches(path: Path) -> bool:
    return path.is_dir() and any(map(_is_kits, images(path)))


TARGET = Target("ecg_image_kit", _matches, read_kit)
