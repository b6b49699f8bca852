"""What a room exports is documented in valid numpydoc, and every example in a docstring runs."""

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

MODULES = [
    module.name
    for module in pkgutil.walk_packages(sk_brainmae.__path__, "sk_brainmae.")
    if module.name != "sk_brainmae.__main__"  # importing it runs the command line
]
ROOMS = ["sk_brainmae", *(name for name in MODULES if name.count(".") == 1)]


def exported(room):
    """Return the names of what a room exports, and of its classes' own public methods."""
    names = []
    for name in getattr(importlib.import_module(room), "__all__", ()):
        thing = getattr(importlib.import_module(room), name)
        if not (inspect.isfunction(thing) or inspect.isclass(thing)):
            continue
        home = f"{thing.__module__}.{thing.__qualname__}"
        names.append(home)
        if inspect.isclass(thing):
            names += [
                f"{home}.{member}"
                for member, value in vars(thing).items()
                if not member.startswith("_") and inspect.isfunction(value)
            ]
    return names


def errors(name):
    """Return what numpydoc finds wrong with a docstring."""
    result = validate(name)
    text, checks = result["docstring"].strip(), CHECKS
    thing = pkgutil.resolve_name(name)
    is_record = is_dataclass(thing) or hasattr(thing, "_fields")
    if "\n" not in text:
        checks = CHECKS - OF_LONG_ONES
    elif is_record and "Attributes\n" in text:
        checks = CHECKS - {"PR01"}  # the fields of a record stand under Attributes
    return [f"{name}: {error}" for error in result["errors"] if error[0] in checks]


@pytest.mark.parametrize("room", ROOMS)
def test_all_that_a_room_exports_has_a_valid_numpydoc_docstring(room):
    assert [error for name in exported(room) for error in errors(name)] == []


def test_rooms_export_what_users_import():
    rooms = [room for room in ROOMS if len(exported(room)) > 0]
    assert len(rooms) >= 14
    assert sum(len(exported(room)) for room in rooms) > 150


@pytest.mark.parametrize("room", ROOMS)
def test_examples_in_the_docstrings_of_a_room_print_what_they_say(room):
    inside = [] if room == "sk_brainmae" else [m for m in MODULES if m.startswith(f"{room}.")]
    for name in [room, *inside]:
        result = doctest.testmod(
            importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE
        )
        assert result.failed == 0, name
