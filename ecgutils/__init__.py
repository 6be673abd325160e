"""ecgutils: read photographs of paper ECGs.

Research software, not a medical device. No finding reported here means a normal ECG.
"""

from ecgutils.findings import FINDINGS, LEADS

__version__ = "0.1.0"
__all__ = ["FINDINGS", "LEADS", "__version__"]
