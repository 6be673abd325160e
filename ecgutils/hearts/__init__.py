"""Simulated hearts with known findings.

heart.py       one person's heart: a beat of dipole lobes, carried to the leads; what a form of a finding is: one record
forms.py       FORMS: those of CD, AF, MI, HYP and STTC
draw.py        a heart with exactly the findings wanted, checked against their criteria; benign variants
rhythm.py      when atria and ventricles fire   noise.py    noise, as it arises at the electrodes
simulate.py    the Record of one heart, those of many, or of a PTB-XL folder
"""

from ecgutils.hearts.forms import FORMS
from ecgutils.hearts.heart import Form
from ecgutils.hearts.simulate import load_records, simulate, simulate_cohort
