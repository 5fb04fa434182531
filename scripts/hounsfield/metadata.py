"""What the values of metadata columns mean."""

import numpy as np
import pandas as pd

YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def to_numbers(values: pd.Series) -> pd.Series:
    """Numbers, and DICOM's ages such as 063Y or 009M in years; nan for what is neither."""
    text = values.astype("string").str.strip()
    numbers = pd.to_numeric(text, errors="coerce").astype("Float64")
    parts = text.str.extract(r"^(\d{1,3})([YMWD])$")
    ages = pd.to_numeric(parts[0], errors="coerce") * parts[1].map(YEARS).astype("Float64")
    return numbers.fillna(ages).astype(np.float64)
