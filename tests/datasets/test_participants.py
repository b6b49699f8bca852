"""How tables of phenotypes are read: their ids, their missing values, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from sk_brainmae.datasets.participants import join_participants, read_phenotypes


def read(tmp_path, text, name="people.tsv", identifier=None):
    path = tmp_path / name
    path.write_text(text, encoding="latin-1")
    return read_phenotypes(path, identifier)


def test_none_is_a_value_and_codes_for_missing_values_are_missing(tmp_path):
    table = read(tmp_path, "id\tdrug\tage\na\tNone\t1\nb\tn/a\tNULL\nc\tSSRI \t 2.5\n")
    assert table["drug"].fillna("missing").tolist() == ["None", "missing", "SSRI"]
    assert_array_equal(table["age"], [1, np.nan, 2.5])


def test_ids_are_text_as_written(tmp_path):
    table = read(tmp_path, "age,id\n1, 097\n2,97\n3,1e5\n", "people.csv", "id")
    assert table["id"].tolist() == ["097", "97", "1e5"]


def test_rows_without_a_cell_are_no_rows(tmp_path):
    table = read(tmp_path, "id,age\na,1\n,\nb,2\n,\n , \n\n", "people.csv")
    assert table.to_dict("list") == {"id": ["a", "b"], "age": [1, 2]}


def test_quotes_around_whole_cells_and_inches_are_read(tmp_path):
    table = read(tmp_path, '"id"\t"note"\n"a"\t6" tall\n"b"\t"5, 6"\n')
    assert table.to_dict("list") == {"id": ["a", "b"], "note": ['6" tall', "5, 6"]}


@pytest.mark.parametrize("ages", [("1", "None", "2"), ("-", "1", "2"), ("1,5", "2,5", "3")])
def test_words_and_commas_that_turn_numbers_into_text_warn(tmp_path, ages):
    text = "id\tage\nx\t\n" + "".join(f"{i}\t{age}\n" for i, age in enumerate(ages))
    with pytest.warns(
        UserWarning, match=r"people\.tsv: column 'age' .* '(None|-|1,5)' \([12] of 3"
    ):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id\tage\na\t1\n\t2\n", r"people\.tsv has no id in row 2 of its 2"),
        ("id\tage\na\t1\t\nb\t2\t\n", r"people\.tsv cannot be read: line 2 has 3 cells, .* has 2"),
        ("id\tsex\tage\na\t3\n", "line 2 has 2 cells, the first line has 3"),
        ('id\tage\na\t"3\nb\t4\nc\t5"\n', "line 4 ends a cell with a tab or line break in it"),
        ('id\tx\na\t"3\n4"\n', "line 3 ends a cell with a tab or line break in it"),
        ('id\tx\ty\na\t"3\t4"\n', "line 2 ends a cell with a tab or line break in it"),
        ("\tid\tage\n0\ta\t1\n", r"first column has no name, as the index .* \(--id\)"),
        ("Unnamed: 0\tid\n0\ta\n", "first column has no name, as the index"),
        ("nr\tparticipant_id\n1\t2\n", "both 'nr' and 'participant_id' may be the ids: name"),
        ("id\tage\tage\na\t1\t2\n", "two of its columns are named 'age'"),
        ("", r"people\.tsv cannot be read: it is empty"),
        ("id\tname\na\tZo\xeb\n", r"people\.tsv cannot be read: it is no .* as CSV UTF-8"),
        (
            "id;age\na;1,5\n",
            r"line 1 holds ';': separate cells by '\\t' alone, and write deci",
        ),
    ],
)
def test_damaged_or_ambiguous_phenotypes_raise(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


def test_whole_ids_that_pandas_keeps_as_floats_are_matched(recwarn):
    table = pd.DataFrame({"participant_id": [1.0, np.nan, 2.0], "age": [20, 0, 30]}).dropna()
    rows, without_scan = join_participants(["2", "sub-1"], table)
    assert rows["age"].tolist() == [30, 20]
    assert not without_scan
    assert not recwarn.list


def test_a_named_column_of_ids_may_stand_beside_an_index(tmp_path):
    table = read(tmp_path, ",id,age\n0,a,1\n", "people.csv", "id")
    assert table[["id", "age"]].to_dict("list") == {"id": ["a"], "age": [1]}
