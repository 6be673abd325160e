"""The vocabulary: lead names, the five findings, and how SCP-ECG codes map to them."""

from collections.abc import Iterable

import pandas as pd

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
FINDINGS = ("STTC", "HYP", "MI", "CD", "AF")

FINDING_NAMES = {
    "STTC": "ST/T change",
    "HYP": "hypertrophy",
    "MI": "myocardial infarction",
    "CD": "conduction disturbance",
    "AF": "atrial fibrillation",
}
DISCLAIMER = (
    "Research software, not a medical device. If none of the five findings is reported, the ECG may still be abnormal."
)


def findings_from_scp(scp_codes: Iterable[str], statements: pd.DataFrame) -> frozenset[str]:
    """Map SCP-ECG codes to findings by the PTB-XL rules.

    Parameters
    ----------
    scp_codes : codes of one record; a dict code -> likelihood works, its values are not
        used: PTB-XL writes likelihood 0 for "not stated", so a threshold would drop true labels.
    statements : `scp_statements.csv` indexed by code, with columns `diagnostic` and
        `diagnostic_class` (Wagner et al. 2020, doi:10.1038/s41597-020-0495-6).

    Returns the names in FINDINGS that apply. Flutter (AFLT) is another rhythm than AF.
    """
    codes = set(scp_codes)
    diagnostic = statements.index[statements["diagnostic"] == 1].intersection(list(codes))
    found = set(statements.loc[diagnostic, "diagnostic_class"]) & {"STTC", "HYP", "MI", "CD"}
    return frozenset(found | ({"AF"} if "AFIB" in codes else set()))
