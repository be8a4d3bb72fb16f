"""What importing the package loads, and that what is loaded late is SciPy itself."""

import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg

from spectral_jepa import _late

HEAVY = [
    "scipy.sparse",
    "scipy.linalg",
    "scipy.special",
    "scipy.stats",
    "scipy.optimize",
    "pandas",
    "torch",
    "matplotlib",
    "joblib",
]


def test_importing_the_package_loads_none_of_what_is_slow():
    code = f"import json, sys, spectral_jepa; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == []


def test_a_late_module_has_what_the_module_has():
    assert _late.sparse.csr_array is scipy.sparse.csr_array
    assert _late.linalg.svd is scipy.linalg.svd
    assert _late.sparse_linalg.eigsh is scipy.sparse.linalg.eigsh
    assert _late.sparse.issparse(scipy.sparse.csr_array(np.eye(2)))
    with pytest.raises(AttributeError):
        _late.sparse.no_such_thing  # noqa: B018
