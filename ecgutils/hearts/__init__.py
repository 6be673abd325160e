"""Simulated hearts with known findings.

beats.py       a beat of dipole lobes, P waves, and the matrices that carry them to the leads
heart.py       one person's heart: what does not change from beat to beat
form.py        a form of a finding: one record
conduction.py  infarct.py  hypertrophy.py  repolarisation.py    the forms: CD (and AF), MI, HYP, STTC
benign.py      variants that look like findings, pacing, flutter, misplaced electrodes
draw.py        FORMS; a heart with exactly the findings wanted, checked against their criteria
rhythm.py      when atria and ventricles fire   noise.py    noise, as it arises at the electrodes
simulate.py    the Record of one heart          cohort.py   those of many, or of a PTB-XL folder
"""

from ecgutils.hearts.cohort import load_records, simulate_cohort
from ecgutils.hearts.draw import FORMS
from ecgutils.hearts.form import Form
from ecgutils.hearts.simulate import simulate
