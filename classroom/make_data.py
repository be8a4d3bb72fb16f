"""Make what the classroom ships: the table of lesson 3, the weights of lesson 6, the offline page.

    python classroom/make_data.py collapse            # about a minute
    python classroom/make_data.py dream RUN_FOLDER    # from a trained Two-Room run, with a decoder trained for a minute
    python classroom/make_data.py page                # after both

`make classroom-page` does the last.
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent


def collapse():
    """classroom/data/collapse.npz."""
    from spectral_jepa.classroom.collapse import TABLE, train_table

    np.savez_compressed(HERE / TABLE, **train_table())


def dream(run_folder):
    """classroom/data/dream.safetensors."""
    from spectral_jepa.classroom.dream import WEIGHTS, pack_dream

    pack_dream(Path(run_folder), HERE / WEIGHTS)


def page():
    """classroom/offline.html."""
    from spectral_jepa.classroom.page import write_page

    write_page(HERE / "offline.html")


if __name__ == "__main__":
    chosen = {"collapse": collapse, "dream": dream, "page": page}
    if len(sys.argv) < 2 or sys.argv[1] not in chosen:
        sys.exit(f"{__doc__}\nExpected one of {', '.join(chosen)} behind the name of the script.")
    chosen[sys.argv[1]](*sys.argv[2:])
