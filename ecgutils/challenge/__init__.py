"""The BHF ECG challenge: its folder, and the submission file with its validator."""

from ecgutils.challenge.bhf import check_bhf, find_bhf, find_sample, read_bhf, write_bhf
from ecgutils.challenge.submission import submission_name, submissions_dir, validate_submission, write_submission
from ecgutils.challenge.table import COLUMNS, plain_id, read_ids
