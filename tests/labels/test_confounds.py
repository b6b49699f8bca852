"""Confounds: what is missing in them is refused, however it is written."""

import numpy as np
import pandas as pd
import pytest

from sk_brainmae.labels import check_confounds


@pytest.mark.parametrize("column", [["23", "n/a", "25"], ["A", "", "B"], np.array(["A", np.nan])])
def test_text_that_stands_for_a_missing_value_raises_and_names_the_sample(column):
    with pytest.raises(
        ValueError, match=r"confound 'site' is the text '.*' for 1 samples, first 1"
    ):
        check_confounds(pd.DataFrame({"site": column}), len(column))


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "Float64"])
def test_missing_value_of_a_nullable_column_raises(dtype):
    column = pd.Series([1, None, 0], dtype=dtype)
    with pytest.raises(ValueError, match="confound 'sex' is missing for 1 samples, first 1"):
        check_confounds(pd.DataFrame({"sex": column}), 3)


def test_number_that_may_stand_for_a_missing_value_warns():
    age = [20, 21, 30, -999, 25, -999]
    with pytest.warns(UserWarning, match="confound 'age' is -999 for 2 samples, far from all oth"):
        check_confounds(pd.DataFrame({"age": age}), 6)
