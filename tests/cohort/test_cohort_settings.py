"""A setting that cannot be, or that the tables do not bear out, is named."""

import pytest

from hounsfield.cohort.settings import CohortSettings
from hounsfield.errors import ConfigError


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"volume_colum": "x"}, "did you mean 'volume_column'"),
        ({"labels": "labels.csv"}, "write a list"),
        ({"volume_pattern": "("}, "volume_pattern"),
        ({"volume_pattern": "(?P<scan>.+)"}, "group named patient"),
        ({"volume_pattern": None}, "group named patient"),
        ({"pathologies": ["nodule", "split"]}, "'split' is a column"),
        ({"pathologies": ["nodule", "nodule"]}, "named twice"),
        ({"uncertain": {"-1": "ignore"}}, "cohort.uncertain.-1"),
        ({"hu": "csv"}, "auto, header, table"),
        ({"duplicate_rows": "ignore"}, "stop, exclude"),
        ({"path": "{volume"}, "cohort.path"),
    ],
)
def test_settings_that_cannot_be(changes, told):
    with pytest.raises(ConfigError) as caught:
        CohortSettings.from_config({"volumes": "v", "labels": ["l.csv"], "pathologies": ["nodule"]} | changes)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"path": "{folder}/{volume}"}, "no column or group is named 'folder'"),
        ({"patient_column": "pid"}, "cohort.patient_column"),
        ({"subgroups": {"sex": "PatientSex"}}, "cohort.subgroups.sex"),
        ({"z_spacing_column": "SliceDistance"}, "cohort.z_spacing_column"),
        ({"exclude": ["none.txt"]}, "cohort.exclude: none.txt"),
        ({"split": {"column": "Split"}}, "split.column"),
    ],
)
def test_settings_that_the_tables_do_not_bear_out(site, changes, told):
    site.table("labels.csv", site.patients(2))
    with pytest.raises(ConfigError) as caught:
        site.build(**changes)
    assert told in str(caught.value)
