"""From SCP codes to findings, by the PTB-XL rules."""

import pandas as pd
import pytest

from ecgutils.findings import FINDING_NAMES, FINDINGS, LEADS, findings_from_scp


@pytest.fixture
def statements():
    rows = {
        "NORM": (1, "NORM"),
        "IMI": (1, "MI"),
        "LVH": (1, "HYP"),
        "CLBBB": (1, "CD"),
        "NDT": (1, "STTC"),
        "ABQRS": (None, None),
        "AFIB": (None, None),
        "AFLT": (None, None),
        "SR": (None, None),
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["diagnostic", "diagnostic_class"])


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({"IMI": 100.0, "SR": 0.0}, {"MI"}),
        ({"IMI": 0.0}, {"MI"}),
        ({"LVH": 50.0, "CLBBB": 0.0, "NDT": 15.0, "AFIB": 0.0}, {"HYP", "CD", "STTC", "AF"}),
        ({"NORM": 100.0}, set()),
        ({"ABQRS": 0.0}, set()),
        ({"AFLT": 0.0}, set()),
        ({"UNHEARD": 100.0}, set()),
        ({}, set()),
    ],
    ids=["one", "likelihood 0 counts", "several", "normal", "form only", "flutter is not AF", "unknown code", "none"],
)
def test_codes_become_findings(statements, codes, expected):
    assert findings_from_scp(codes, statements) == expected


def test_the_result_is_a_frozenset_of_known_names(statements):
    found = findings_from_scp(list(statements.index), statements)
    assert isinstance(found, frozenset)
    assert found == set(FINDINGS)


def test_the_vocabulary_is_in_the_challenge_order():
    assert FINDINGS == ("STTC", "HYP", "MI", "CD", "AF")
    assert set(FINDING_NAMES) == set(FINDINGS)
    assert LEADS == ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
