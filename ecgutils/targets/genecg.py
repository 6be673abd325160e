"""Images of PTB-XL records with the ecg_id in their names, as GenECG's 02000_hr_1R.png, joined with PTB-XL's tables.

Bodagh et al., BMJ Health & Care Informatics, bmjhci-2024-101335.
"""

import ast
import re
from pathlib import Path

import pandas as pd

from ecgutils.findings import findings_from_scp
from ecgutils.manifest import manifest_from_paths
from ecgutils.signals import check_ptbxl
from ecgutils.targets.base import Labelled, Target, all_to_train, images, label_columns, left_out

TABLE = "ptbxl_database.csv"
_NAME = re.compile(r"(\d+)_[hl]r(?![a-zA-Z0-9])")


def read_genecg(path: Path, ptbxl: str | Path | None = None) -> Labelled:
    """Images of PTB-XL records with its labels, patients and folds; `record_id` and `patient_id` as of `read_ptbxl`.

    ptbxl : folder of PTB-XL's two tables; they are looked for in the folder itself and the one above.

    Images without an ecg_id, or with one that the table lacks, are left out, as a note says.
    Raises FileNotFoundError where no tables are, ValueError for a broken table, as `check_ptbxl`, or no image.
    """
    places = [path, path.absolute().parent] if ptbxl is None else [Path(ptbxl)]
    root = next((place for place in places if (place / TABLE).is_file()), None)
    if root is None:
        what_to_do = "copy PTB-XL's two tables there, or give the folder of PTB-XL's two tables as ptbxl"
        raise FileNotFoundError(f"No {TABLE} in {' or '.join(map(str, places))} for the images' labels: {what_to_do}.")
    check_ptbxl(root)  # every code is a dict now, every number a number
    table = pd.read_csv(root / TABLE).set_index("ecg_id")
    statements = pd.read_csv(root / "scp_statements.csv", index_col=0)
    found = images(path)
    ids = {photo: int(match[1]) for photo in found if (match := _NAME.match(photo.name))}
    photos = [photo for photo, ecg_id in ids.items() if ecg_id in table.index]
    if not photos:
        raise ValueError(f"{path}: no image is named after an ecg_id of {root / TABLE}, as 02000_hr_1R.png is.")
    rows = table.loc[[ids[photo] for photo in photos]]
    manifest = manifest_from_paths(
        photos, str(path), image_source="genecg", signal_source="ptbxl",
        record_id=[str(int(ecg_id)) for ecg_id in rows.index],
        patient_id=[f"ptbxl-{int(number)}" for number in rows["patient_id"]], fold=rows["strat_fold"].tolist(),
        **label_columns([findings_from_scp(ast.literal_eval(codes), statements) for codes in rows["scp_codes"]]),
    )  # fmt: skip
    return all_to_train(manifest, left_out(found, photos, f"without an ecg_id of {TABLE}"))


def _matches(path: Path) -> bool:
    return path.is_dir() and any(_NAME.match(photo.name) for photo in images(path))


TARGET = Target("genecg", _matches, read_genecg)
