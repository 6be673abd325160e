"""Write a folder in the BHF layout from any rendered set, so that the reader meets real files on disk."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ecgutils.challenge.bhf import IMAGE_SUFFIXES, LABELS_NAME
from ecgutils.challenge.table import COLUMNS
from ecgutils.files import write_bytes
from ecgutils.manifest import check_manifest

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def write_bhf(train: pd.DataFrame, test: pd.DataFrame, out_dir: str | Path, damaged: bool = True) -> pd.DataFrame:
    """Write PNG files, train_final.csv and id_map.csv under `out_dir` in the BHF layout.

    Rows are numbered from 1 in order of `image_id`, train and test separately (as in the challenge, where the same
    number names one image of each). Train fills train_1 and train_2, test fills test_1. PNG sources are copied
    byte for byte, others re-encoded without loss. The bytes depend only on the images and labels.

    train, test : manifest frames with absolute paths; every training label must be known.
    damaged : also damage three files, as the challenge's own set is: the first training image is truncated, the last
    has a chunk with a wrong checksum, the first test image is truncated.

    Returns the table of id_map.csv: split, ID (string), image_id, path (relative), damage ("", "truncated",
    "bad_checksum"). Raises ValueError for an unknown training label, an unreadable source, or other images already in
    `out_dir`.
    """
    out_dir = Path(out_dir)
    train, test = (
        check_manifest(table, f"write_bhf {name}").sort_values("image_id", ignore_index=True)
        for name, table in (("train", train), ("test", test))
    )
    unknown = train.loc[train[list(COLUMNS[1:])].isna().any(axis=1), "image_id"].tolist()
    if unknown:
        raise ValueError(
            f"write_bhf: {len(unknown)} training image(s) lack a label, e.g. {unknown[0]}; label or drop them."
        )
    plans = [_plan(len(train), "train", damaged), _plan(len(test), "test", damaged)]
    id_map, sources = pd.concat(plans, ignore_index=True), pd.concat([train, test], ignore_index=True)
    id_map.insert(2, "image_id", sources["image_id"])
    present = {p.relative_to(out_dir).as_posix() for p in out_dir.glob("t*/**/*") if p.suffix.lower() in IMAGE_SUFFIXES}
    stale = sorted(present - set(id_map["path"]))
    if stale:
        raise ValueError(f"{out_dir} already holds {len(stale)} other image(s), e.g. {stale[0]}; give an empty folder.")
    for source, target, damage in zip(sources["path"], id_map["path"], id_map["damage"], strict=True):
        write_bytes(out_dir / target, _damage(_png(source), damage))
    labels = train[list(COLUMNS[1:])].astype(int)
    labels.insert(0, "ID", range(1, len(labels) + 1))
    for name, table in ((LABELS_NAME, labels), ("id_map.csv", id_map)):
        write_bytes(out_dir / name, table.to_csv(index=False, lineterminator="\n").encode())
    return id_map


def _plan(n: int, split: str, damaged: bool) -> pd.DataFrame:
    """ID, relative path and damage of `n` images of one split."""
    numbers, half = range(1, n + 1), (n + 1) // 2
    folders = [f"train_{1 + (i > half)}/train_encoded_relabelled" if split == "train" else "test_1" for i in numbers]
    paths = [f"{folder}/{split}_{i:06d}.png" for folder, i in zip(folders, numbers, strict=True)]
    table = pd.DataFrame({"split": split, "ID": [str(i) for i in numbers], "path": paths, "damage": ""}, dtype=object)
    if damaged and split == "train":
        table.loc[n - 1 :, "damage"] = "bad_checksum"
    if damaged:
        table.loc[:0, "damage"] = "truncated"
    return table


def _png(source: str) -> bytes:
    content = Path(source).read_bytes()
    if content.startswith(_PNG_SIGNATURE):
        return content
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"write_bhf: {source} cannot be decoded as an image; remove it from the manifest.")
    return cv2.imencode(".png", image)[1].tobytes()


def _damage(png: bytes, kind: str) -> bytes:
    if kind == "truncated":
        return png[: len(png) * 2 // 5]
    if kind == "bad_checksum":
        data = png.index(b"IDAT") + 4  # chunk: length (4), type (4), data, CRC-32 (4)
        crc = data + int.from_bytes(png[data - 8 : data - 4], "big")
        return png[:crc] + bytes([png[crc] ^ 0xFF]) + png[crc + 1 :]
    return png
