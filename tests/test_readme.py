"""The README tells the truth: its Python runs, and its commands are those of CI."""

import re
from pathlib import Path

from sk_brainmae import inspection

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_readme_python_blocks_run_in_order():
    names: dict = {}
    for block in _blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert names["embeddings"].shape == (20, 1074)
    assert all(states.shape[1] == 16 for states in names["states"])
    assert set(names["comparison"].scores["estimator"]) == {
        "BrainMAE",
        "flat window",
        "mean activation",
    }


def test_functions_that_readme_names_for_inspection_exist():
    section = README.split("## Seeing what it learned")[1].split("##")[0]
    rows = [line for line in section.splitlines() if line.startswith("|") and "`" in line]
    named = re.findall(r"`(\w+)`", " ".join(rows))
    assert len(named) > 10
    assert set(named) <= set(inspection.__all__)


def test_readme_test_command_installs_what_ci_installs():
    (command,) = [block for block in _blocks("bash") if "pytest" in block]
    install = 'pip install -c constraints.txt -e ".[test]"'
    assert install in command
    assert install in (ROOT / ".ci" / "run").read_text()
