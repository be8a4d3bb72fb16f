"""Parts of one's own: a name that a file can hold, and one sentence where it is wrong."""

import pytest

from spectral_jepa._parts import find_part, part_name
from spectral_jepa._validation import InputError

KNOWN = ("end", "sum")


def mine(predicted, goal):
    return (predicted - goal).abs().sum((-1, -2))


def test_a_function_is_kept_by_its_name_and_found_again():
    name = part_name("cost", mine, KNOWN)
    assert name == f"{__name__}:mine" and find_part("cost", name) is mine
    assert part_name("cost", name, KNOWN) == name


@pytest.mark.parametrize(
    "value", [lambda x: x, InputError("x").with_traceback, type("C", (), {"__call__": lambda self: 0})()]
)
def test_what_no_file_can_name_is_refused(value):
    with pytest.raises(InputError, match="which no module knows by its name"):
        part_name("cost", value, KNOWN)


@pytest.mark.parametrize("value", ["smu", "", ":f", "m:", 3, None])
def test_an_unknown_name_lists_the_known_ones(value):
    with pytest.raises(InputError, match=r"expected one of 'end', 'sum'.*module:function"):
        part_name("cost", value, KNOWN)


def test_the_nearest_name_is_said():
    with pytest.raises(InputError, match=r"nearest: 'sum'"):
        part_name("cost", "summ", KNOWN)


@pytest.mark.parametrize("name, said", [("no_such_module_x:f", "cannot be imported"), ("math:pi", "no function pi")])
def test_what_is_not_there_is_said(name, said):
    with pytest.raises(InputError, match=said):
        find_part("cost", name)
