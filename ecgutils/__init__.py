"""ecgutils: read photographs of paper ECGs.

Research software, not a medical device. If none of the five findings is reported, the ECG may still be abnormal.
"""

from ecgutils.findings import FINDINGS, LEADS

__version__ = "0.1.0"
__all__ = ["FINDINGS", "LEADS", "__version__"]
