"""The leakage guard refuses shared patients by name and calls unknown ones ungrouped."""

import pytest

from ecgutils.evaluate import check_roles
from ecgutils.tests.test_challenge_bhf import labelled


def part(start, n=10, per_patient=2):
    table = labelled(n, per_patient=per_patient).assign(image_id=[str(start + i) for i in range(n)])
    if per_patient:
        table["patient_id"] = [f"p{(start + i) // per_patient}" for i in range(n)]
    return table


def test_disjoint_roles_pass():
    roles = {"training": part(0), "ensembling": part(10), "calibration": part(20), "test": part(30)}
    assert check_roles(**roles) == "disjoint by patient"


@pytest.mark.parametrize("role", ["training", "ensembling", "calibration"])
def test_a_patient_in_two_roles_is_refused_by_name(role):
    roles = {"training": part(0), "ensembling": part(10), "calibration": part(20), "test": part(30)}
    roles[role].loc[3, "patient_id"] = "p17"
    with pytest.raises(ValueError, match=f"1 patient.* both {role} and test, e.g. p17"):
        check_roles(**roles)


def test_unknown_patients_are_ungrouped_and_a_shared_image_is_still_refused():
    assert check_roles(training=part(0), test=part(30, per_patient=0)) == "ungrouped"
    with pytest.raises(ValueError, match="image:9"):
        check_roles(training=part(0, per_patient=0), test=part(9, per_patient=0))
