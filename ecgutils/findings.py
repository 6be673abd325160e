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

    `scp_codes` are those of one record, of whatever likelihood: PTB-XL writes 0 for "not stated". `statements` is
    `scp_statements.csv` indexed by code, with columns `diagnostic` and `diagnostic_class` (Wagner et al. 2020,
    doi:10.1038/s41597-020-0495-6). Flutter (AFLT) is another rhythm than AF.
    """
    codes = list(scp_codes)
    diagnostic = statements.index[statements["diagnostic"] == 1].intersection(codes)
    found = {*statements.loc[diagnostic, "diagnostic_class"], *["AF"] * ("AFIB" in codes)}
    return frozenset(found & set(FINDINGS))
