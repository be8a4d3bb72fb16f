"""What a planted fault is."""

from typing import NamedTuple


class Mutant(NamedTuple):
    name: str
    file: str  # within spectral_jepa/
    before: str
    after: str
    why: str
    tests: tuple[str, ...]  # within tests/


def mutants_of(file: str, *records: tuple[str, str, str, str, str]) -> list[Mutant]:
    """Records (name, before, after, why, tests); tests are separated by blanks."""
    return [Mutant(name, file, before, after, why, tuple(tests.split())) for name, before, after, why, tests in records]
