"""What people write where a value is missing: words in tables, and impossible numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Cells without a value, as pandas, R, MATLAB, Excel and BIDS write them; "None" may be a value.
MISSING = ("", "n/a", "N/A", "#N/A", "NA", "<NA>", "nan", "NaN", "NAN", "-nan", "null", "NULL")
# Numbers by which other programs (SPSS, PLINK, ABIDE's tables) say that a value is missing.
MISSING_CODES = (-9, -99, -999, -9999, -99999, 99, 999, 9999, 99999, -88, -888, -77, -777)


def unmasked(values: Any) -> Any:
    """Return the masked values of a masked array as None; other values as they are."""
    if not np.ma.is_masked(values):
        return values
    objects = np.ma.getdata(values).astype(object)
    objects[np.ma.getmaskarray(values)] = None
    return objects


def missing_words(values: Any) -> NDArray:
    """Tell which values, (n_samples,), are texts that stand for a missing one."""
    return np.array([isinstance(v, str) and v.strip() in MISSING for v in values], dtype=bool)


def missing_code(values: NDArray) -> float | None:
    """Return a number that seems to stand for a missing value; None if there is none.

    It is one of the usual codes, and further from all other values than these are from each other.
    """
    for code in MISSING_CODES:
        here = values == code
        others = values[~here]
        if not here.any() or len(np.unique(others)) < 2:
            continue
        if np.abs(others - code).min() > np.ptp(others):
            return code
    return None
