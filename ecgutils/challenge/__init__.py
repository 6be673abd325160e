"""The BHF ECG challenge: its folder, and the submission file with its validator."""

from ecgutils.challenge.bhf import COLUMNS, check_bhf, find_bhf, find_sample, plain_id, read_bhf, read_ids
from ecgutils.challenge.submission import submission_name, submissions_dir, validate_submission, write_submission
