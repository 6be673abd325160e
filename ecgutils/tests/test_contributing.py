"""The worked examples of CONTRIBUTING.md do what they say."""

import re

import numpy as np
import pytest

from ecgutils import hearts
from ecgutils.files import repository_root
from ecgutils.hearts import FORMS, simulate


def example(heading):
    """The python blocks under a heading of CONTRIBUTING.md."""
    text = (repository_root() / "CONTRIBUTING.md").read_text()
    section = re.split(r"^## ", text.split(f"## {heading}\n")[1], flags=re.MULTILINE)[0]
    return "\n".join(re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL))


@pytest.fixture
def new_form():
    """The name of the form that the example registers; the registry is put back afterwards."""
    before = list(FORMS)
    code = example("A new form of a finding")
    assert len([line for line in code.splitlines() if line.strip()]) < 30
    exec(compile(code, "CONTRIBUTING.md", "exec"), {})
    (added,) = [form for form in FORMS if form not in before]
    yield added
    FORMS[:] = before


def drawn(finding, count):
    return [simulate(np.random.default_rng([8, i]), {finding}, noise=False) for i in range(count)]


def test_a_heart_of_the_new_form_meets_its_criterion(new_form):
    found = [r for r in drawn(new_form.finding, 150) if new_form.name in r.details["forms"][new_form.finding]]
    assert found
    for record in found:
        assert set(new_form.criteria) & set(record.details["criteria"][new_form.finding])


def test_the_other_forms_are_still_drawn_beside_a_new_one(new_form):
    names = {name for r in drawn("STTC", 150) for name in r.details["forms"]["STTC"]}
    assert {"unspecific_T", "ST_depression", "long_QT"} <= names


def test_a_new_form_changes_no_heart_without_its_finding(new_form):
    with_it = simulate(np.random.default_rng(4), {"CD", "MI"})
    FORMS.remove(new_form)
    assert simulate(np.random.default_rng(4), {"CD", "MI"}).signal_mv.tobytes() == with_it.signal_mv.tobytes()


@pytest.mark.parametrize(
    ("change", "message"), [({"finding": "NORM"}, "'NORM' is not one of"), ({"explains": "luck"}, "explains 'luck'")]
)
def test_a_form_of_nothing_known_is_refused(change, message):
    arguments = {"finding": "MI", "name": "x", "weight": 1, "apply": print} | change
    with pytest.raises(ValueError, match=message):
        hearts.Form(**arguments)
