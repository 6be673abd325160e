"""Simulated hearts with known findings.

heart.py: a heart, its beat, and what a form of a finding is. forms.py: FORMS. draw.py: a heart with exactly the
findings wanted. rhythm.py, noise.py: when it beats, what disturbs its leads. simulate.py: the records of a run.
"""

from ecgutils.hearts.forms import FORMS
from ecgutils.hearts.heart import Form
from ecgutils.hearts.simulate import load_records, simulate, simulate_cohort
