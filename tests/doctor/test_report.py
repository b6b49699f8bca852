import pandas as pd

from sk_brainmae.doctor import check_scans


def test_report_reads_well(scans, clean):
    scans[4], scans[2][77] = scans[4].T, scans[2][77] + 8
    report = check_scans(scans, 2.0)
    assert report.one_line == "12 scans read: 1 error (transposed), 1 note (spikes)"
    assert str(report).splitlines()[0] == report.one_line
    assert str(report).splitlines()[1].startswith("  error: scan 4: transposed")
    frame = pd.DataFrame(clean[0], columns=[f"<b>{j}" for j in range(40)])
    frame["<b>0"] = 0.0
    html = check_scans([frame])._repr_html_()
    assert "&lt;b&gt;0" in html
    assert "<b>" not in html
