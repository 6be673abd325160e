"""SNOMED CT codes of ECG headers and the findings that they stand for, by PTB-XL's convention.

The codes, abbreviations and names are those of the PhysioNet/CinC Challenge 2021 (Reyna et al. 2021,
doi:10.23919/CinC53138.2021.9662687; dx_mapping_scored.csv and dx_mapping_unscored.csv of its evaluation code), and the
four more of Zheng et al. 2022, doi:10.13026/wgex-er52.

The rule: a code stands for a finding when PTB-XL's statement of the same meaning is diagnostic of that class. A form
statement of PTB-XL is none, but for those of ST and T.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Snomed(NamedTuple):
    """What a SNOMED CT code says: abbreviation and name in its data sets, and the finding; None = none of the five."""

    abbreviation: str
    name: str
    finding: str | None = None


SNOMED: dict[str, Snomed] = {
    # PTB-XL: NDT, NST_, ISC_ and its territories, LNGQT. ST and T of any shape count: NDT and NST_ only describe, too
    "111975006": Snomed("LQT", "prolonged QT interval", "STTC"),
    "164934002": Snomed("TAb", "T wave abnormal", "STTC"),
    "59931005": Snomed("TInv", "T wave inversion", "STTC"),
    "251259000": Snomed("HTV", "high T voltage", "STTC"),
    "55930002": Snomed("STC", "ST changes", "STTC"),
    "429622005": Snomed("STD", "ST depression", "STTC"),
    "704997005": Snomed("ISTD", "inferior ST segment depression", "STTC"),
    "164931005": Snomed("STE", "ST elevation", "STTC"),
    "164930006": Snomed("STIAb", "ST interval abnormal", "STTC"),
    "428750005": Snomed("NSSTTA", "nonspecific ST T abnormality", "STTC"),
    # ischaemia is ISC_, never MI
    "164861001": Snomed("MIs", "myocardial ischemia", "STTC"),
    "413444003": Snomed("AMIs", "acute myocardial ischemia", "STTC"),
    "413844008": Snomed("CMI", "chronic myocardial ischemia", "STTC"),
    "426434006": Snomed("AnMIs", "anterior ischemia", "STTC"),
    "425419005": Snomed("IIs", "inferior ischaemia", "STTC"),
    "425623009": Snomed("LIs", "lateral ischaemia", "STTC"),
    # strain is ST and T; the hypertrophy has a code of its own
    "370365005": Snomed("LVS", "left ventricular strain", "STTC"),
    # LVH, RVH; of an unnamed ventricle
    "164873001": Snomed("LVH", "left ventricular hypertrophy", "HYP"),
    "89792004": Snomed("RVH", "right ventricular hypertrophy", "HYP"),
    "266249003": Snomed("VH", "ventricular hypertrophy", "HYP"),
    # LAO/LAE, RAO/RAE; of an ECG, abnormality and hypertrophy of an atrium mean the same
    "195126007": Snomed("AH", "atrial hypertrophy", "HYP"),
    "253352002": Snomed("LAA", "left atrial abnormality", "HYP"),
    "67741000119109": Snomed("LAE", "left atrial enlargement", "HYP"),
    "446813000": Snomed("LAH", "left atrial hypertrophy", "HYP"),
    "253339007": Snomed("RAAb", "right atrial abnormality", "HYP"),
    "446358003": Snomed("RAH", "right atrial hypertrophy", "HYP"),
    # of any age: PTB-XL's codes are, too
    "164865005": Snomed("MI", "myocardial infarction", "MI"),
    "57054005": Snomed("AMI", "acute myocardial infarction", "MI"),
    "54329005": Snomed("AnMI", "anterior myocardial infarction", "MI"),
    "164867002": Snomed("OldMI", "old myocardial infarction", "MI"),
    # 1AVB, 2AVB, 3AVB; of a degree that is not said
    "270492004": Snomed("IAVB", "1st degree AV block", "CD"),
    "195042002": Snomed("IIAVB", "2nd degree AV block", "CD"),
    "54016002": Snomed("MoI", "Mobitz type I Wenckebach atrioventricular block", "CD"),
    "426183003": Snomed("IIAVBII", "Mobitz type II atrioventricular block", "CD"),
    "28189009": Snomed("2AVB2", "Mobitz type II atrioventricular block", "CD"),
    "27885002": Snomed("CHB", "complete heart block", "CD"),
    "204384007": Snomed("CIAHB", "congenital incomplete atrioventricular heart block", "CD"),
    "233917008": Snomed("AVB", "AV block", "CD"),
    # CRBBB, IRBBB, CLBBB, ILBBB; of a side or completeness that is not said
    "6374002": Snomed("BBB", "bundle branch block", "CD"),
    "59118001": Snomed("RBBB", "right bundle branch block", "CD"),
    "713427006": Snomed("CRBBB", "complete right bundle branch block", "CD"),
    "713426002": Snomed("IRBBB", "incomplete right bundle branch block", "CD"),
    "164909002": Snomed("LBBB", "left bundle branch block", "CD"),
    "733534002": Snomed("CLBBB", "complete left bundle branch block", "CD"),
    "251120003": Snomed("ILBBB", "incomplete left bundle branch block", "CD"),
    # LAFB, LPFB, IVCD, WPW
    "445118002": Snomed("LAnFB", "left anterior fascicular block", "CD"),
    "445211001": Snomed("LPFB", "left posterior fascicular block", "CD"),
    "698252002": Snomed("NSIVCB", "nonspecific intraventricular conduction disorder", "CD"),
    "82226007": Snomed("DIB", "diffuse intraventricular block", "CD"),
    "74390002": Snomed("WPW", "Wolff-Parkinson-White pattern", "CD"),
    "195060002": Snomed("VPEx", "ventricular pre-excitation", "CD"),
    "164889003": Snomed("AF", "atrial fibrillation", "AF"),
    # flutter (AFLT) is another rhythm; a chronic, paroxysmal or rapid AF may be the patient's, not that of this ECG
    "164890007": Snomed("AFL", "atrial flutter"),
    "195080001": Snomed("AFAFL", "atrial fibrillation and flutter"),
    "426749004": Snomed("CAF", "chronic atrial fibrillation"),
    "282825002": Snomed("PAF", "paroxysmal atrial fibrillation"),
    "314208002": Snomed("RAF", "rapid atrial fibrillation"),
    # QRS described (ABQRS, QWAVE, VCLVH, HVOLT, LVOLT): form statements, no diagnosis; a Q wave alone is no infarct
    "164951009": Snomed("abQRS", "abnormal QRS"),
    "164917005": Snomed("QAb", "Q wave abnormal"),
    "365413008": Snomed("PRWP", "poor R wave progression"),
    "164921003": Snomed("RAb", "R wave abnormal"),
    "164942001": Snomed("FQRS", "fQRS wave"),
    "55827005": Snomed("LVHV", "left ventricular high voltage"),
    "251146004": Snomed("LQRSV", "low QRS voltages"),
    "251147008": Snomed("LVQRSLL", "low QRS voltages in limb leads"),
    "251148003": Snomed("LVQRSCL", "low QRS voltages in chest leads"),
    "39732003": Snomed("LAD", "left axis deviation"),
    "47665007": Snomed("RAD", "right axis deviation"),
    "251200008": Snomed("ICA", "indeterminate cardiac axis"),
    "251198002": Snomed("CR", "clockwise rotation"),
    "251199005": Snomed("CCR", "counterclockwise rotation"),
    "61721007": Snomed("CVCL/CCVCL", "clockwise or counterclockwise vectorcardiographic loop"),
    # P, PR and U described: LPR is a form statement; the rest has no statement in PTB-XL
    "164912004": Snomed("PWC", "P wave change"),
    "251205003": Snomed("PPW", "prolonged P wave"),
    "251223006": Snomed("TPW", "tall P wave"),
    "67751000119106": Snomed("RAHV", "right atrial high voltage"),
    "164947007": Snomed("LPR", "prolonged PR interval"),
    "49578007": Snomed("SPRI", "shortened PR interval"),
    "164937009": Snomed("UAb", "U wave abnormal"),
    # normal variant, or without a statement in PTB-XL
    "428417006": Snomed("ERe", "early repolarization"),
    "418818005": Snomed("BRU", "Brugada"),
    "77867006": Snomed("SQT", "decreased QT interval"),
    # rhythm, ectopic beats and pacing: rhythm and form statements; a pause or dissociation is no AV block
    "426783006": Snomed("NSR", "sinus rhythm"),
    "427393009": Snomed("SA", "sinus arrhythmia"),
    "426177001": Snomed("SB", "sinus bradycardia"),
    "427084000": Snomed("STach", "sinus tachycardia"),
    "426627000": Snomed("Brady", "bradycardia"),
    "284470004": Snomed("PAC", "premature atrial contraction"),
    "63593006": Snomed("SVPB", "supraventricular premature beats"),
    "251170000": Snomed("BPAC", "blocked premature atrial contraction"),
    "251173003": Snomed("AB", "atrial bigeminy"),
    "251168009": Snomed("SVB", "supraventricular bigeminy"),
    "251164006": Snomed("JPC", "junctional premature complex"),
    "427172004": Snomed("PVC", "premature ventricular contractions"),
    "17338001": Snomed("VPB", "ventricular premature beats"),
    "164884008": Snomed("VEB", "ventricular ectopics"),
    "251182009": Snomed("VPVC", "paired ventricular premature complexes"),
    "11157007": Snomed("VBig", "ventricular bigeminy"),
    "251180001": Snomed("VTrig", "ventricular trigeminy"),
    "13640000": Snomed("FB", "fusion beats"),
    "251187003": Snomed("AED", "atrial escape beat"),
    "426995002": Snomed("JE", "junctional escape"),
    "75532003": Snomed("VEsB", "ventricular escape beat"),
    "81898007": Snomed("VEsR", "ventricular escape rhythm"),
    "233892002": Snomed("AAR", "accelerated atrial escape rhythm"),
    "106068003": Snomed("ARH", "atrial rhythm"),
    "426664006": Snomed("AJR", "accelerated junctional rhythm"),
    "29320008": Snomed("AVJR", "atrioventricular junctional rhythm"),
    "49260003": Snomed("IR", "idioventricular rhythm"),
    "61277005": Snomed("AIVR", "accelerated idioventricular rhythm"),
    "17366009": Snomed("SAAWR", "sinus atrium to atrial wandering rhythm"),
    "195101003": Snomed("WAP", "wandering atrial pacemaker"),
    "713422000": Snomed("ATach", "atrial tachycardia"),
    "426648003": Snomed("JTach", "junctional tachycardia"),
    "426761007": Snomed("SVT", "supraventricular tachycardia"),
    "67198005": Snomed("PSVT", "paroxysmal supraventricular tachycardia"),
    "251166008": Snomed("AVNRT", "atrioventricular node reentrant tachycardia"),
    "233896004": Snomed("AVNRT", "atrioventricular node reentrant tachycardia"),
    "233897008": Snomed("AVRT", "atrioventricular reentrant tachycardia"),
    "164895002": Snomed("VTach", "ventricular tachycardia"),
    "425856008": Snomed("PVT", "paroxysmal ventricular tachycardia"),
    "164896001": Snomed("VF", "ventricular fibrillation"),
    "111288001": Snomed("VFL", "ventricular flutter"),
    "65778007": Snomed("SAB", "sinoatrial block"),
    "5609005": Snomed("SARR", "sinus arrest"),
    "60423000": Snomed("SND", "sinus node dysfunction"),
    "74615001": Snomed("BTS", "brady tachy syndrome"),
    "50799005": Snomed("AVD", "atrioventricular dissociation"),
    "698247007": Snomed("CD", "cardiac dysrhythmia"),
    "10370003": Snomed("PR", "pacing rhythm"),
    "251268003": Snomed("AP", "atrial pacing pattern"),
    "251266004": Snomed("VPP", "ventricular pacing pattern"),
    # of the patient or the recording, not of the ECG
    "53741008": Snomed("CHD", "coronary heart disease"),
    "84114007": Snomed("HF", "heart failure"),
    "368009": Snomed("HVD", "heart valve disorder"),
    "266257000": Snomed("TIA", "transient ischemic attack"),
    "251139008": Snomed("ALR", "suspect arm ECG leads reversed"),
}


def findings_from_snomed(codes: Iterable[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Map the SNOMED CT codes of one record to findings.

    codes : digits, as in a WFDB header. Returns the findings, and in their order the codes that say nothing about them:
    those whose finding is None, and those that are not in SNOMED (which may hide a finding).
    """
    listed = list(codes)
    findings = {code: SNOMED[code].finding if code in SNOMED else None for code in listed}
    return frozenset(filter(None, findings.values())), tuple(code for code in listed if not findings[code])
