"""The BHF ECG challenge: its folder, blending of models, and the submission file with its validator."""

from ecgutils.challenge.bhf import check_bhf, find_bhf, find_sample, plain_id, read_bhf, read_ids, read_sample_ids
from ecgutils.challenge.blend import BLENDS, blend, cross_blend, fit_weights
from ecgutils.challenge.leakage import check_roles
from ecgutils.challenge.split import split_bhf
from ecgutils.challenge.submission import fill_unreadable, submission_name, submissions_dir, write_submission
from ecgutils.challenge.validate import validate_submission
from ecgutils.challenge.write import write_bhf

__all__ = [
    "BLENDS",
    "blend",
    "check_bhf",
    "check_roles",
    "cross_blend",
    "fill_unreadable",
    "find_bhf",
    "find_sample",
    "fit_weights",
    "plain_id",
    "read_bhf",
    "read_ids",
    "read_sample_ids",
    "split_bhf",
    "submission_name",
    "submissions_dir",
    "validate_submission",
    "write_bhf",
    "write_submission",
]
