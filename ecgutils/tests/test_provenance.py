"""What is written beside weights: whose hearts they learned from."""

import pandas as pd

from ecgutils.provenance import in_words


def manifest(image_source, signal_source, patients, views=1):
    ids = [f"{signal_source}{i}" for i in range(patients)] * views
    rows = pd.DataFrame({"patient_id": ids if signal_source else "", "record_id": "", "signal_source": signal_source})
    return rows.assign(image_source=image_source, image_id=[f"{image_source}-{i}" for i in range(len(rows))])


def test_each_stage_names_its_hearts_by_where_they_come_from():
    scans = pd.concat([manifest("fax", "ptbxl", 3), manifest("vector", "ptbxl", 3), manifest("fax", "simulated", 1600)])
    photos = manifest("photo", "ptbxl", 3, views=2)
    assert in_words(scans, photos) == (
        "rendered scans of 3 PTB-XL and 1,600 simulated hearts, then rendered photos of 3 PTB-XL hearts"
    )
    pooled = in_words(pd.concat([scans, photos]))
    assert pooled == "rendered scans and photos of 3 PTB-XL and 1,600 simulated hearts"


def test_photos_of_unknown_patients_are_counted_themselves():
    bhf = pd.DataFrame({"image_id": ["1", "2"], "image_source": "bhf", "signal_source": "", "patient_id": ""})
    assert in_words(manifest("fax", "simulated", 20), bhf) == "rendered scans of 20 simulated hearts, then 2 BHF photos"
