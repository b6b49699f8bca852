"""Every public docstring is valid numpydoc, and every example in it runs."""

import doctest
import importlib
import inspect
import pkgutil
from dataclasses import is_dataclass

import pytest
from numpydoc.validate import validate

import sk_brainmae

# Form (GL), summary (SS), parameters (PR), results (RT, YD), see also (SA). Not asked of everyone:
# an extended summary (ES01), See Also (SA01), Examples (EX01).
CHECKS = {
    *("GL01", "GL03", "GL05", "GL06", "GL07", "GL08", "GL09", "GL10"),
    *("SS01", "SS02", "SS03", "SS04", "SS06"),
    *("PR01", "PR02", "PR03", "PR05", "PR06", "PR07", "PR09", "PR10"),
    *("RT01", "RT03", "RT05", "YD01", "SA02", "SA03", "SA04"),
}
# One line is enough where the signature says the rest.
OF_LONG_ONES = {"PR01", "RT01"}

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(sk_brainmae.__path__, "sk_brainmae.")
    if not any(part.startswith("_") for part in module.name.split("."))
)


def _public_objects() -> list[str]:
    """Names of all public classes, functions and methods, where they are defined."""
    names = []
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", None) != module_name:
                continue
            if inspect.isfunction(thing):
                names.append(f"{module_name}.{name}")
            elif inspect.isclass(thing):
                names.append(f"{module_name}.{name}")
                names += [
                    f"{module_name}.{name}.{member}"
                    for member, value in vars(thing).items()
                    if not member.startswith("_") and inspect.isfunction(value)
                ]
    return names


def _is_record(name: str) -> bool:
    thing = pkgutil.resolve_name(name)
    return is_dataclass(thing) or hasattr(thing, "_fields")


@pytest.mark.parametrize("name", _public_objects())
def test_public_docstring_is_valid_numpydoc(name):
    result = validate(name)
    text = result["docstring"].strip()
    checks = CHECKS
    if "\n" not in text:
        checks = CHECKS - OF_LONG_ONES
    elif name.startswith("sk_brainmae.cli.") and "Parameters\n" not in text:
        checks = CHECKS - {"PR01"}  # of a command, which says its options beside them
    elif _is_record(name) and "Attributes\n" in text:
        checks = CHECKS - {"PR01"}  # the fields of a record stand under Attributes
    assert [error for error in result["errors"] if error[0] in checks] == []


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_print_what_they_say(name):
    result = doctest.testmod(
        importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert result.failed == 0
