"""Switches that make one processor compute as another, and the tests that are run so."""

from typing import NamedTuple


class Setting(NamedTuple):
    aten: str
    onednn: str
    openblas: str
    threads: int

    @property
    def environment(self) -> dict[str, str]:
        """MKL, which multiplies the matrices of torch where torch has it, goes with oneDNN, the other library of Intel's."""
        threads = str(self.threads)
        return {
            "ATEN_CPU_CAPABILITY": self.aten,
            "ONEDNN_MAX_CPU_ISA": self.onednn,
            "MKL_ENABLE_INSTRUCTIONS": {"SSE41": "SSE4_2", "AVX2": "AVX2"}[self.onednn],
            "OPENBLAS_CORETYPE": self.openblas,
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
        }

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.environment.items())


VALUES = (("default", "avx2"), ("SSE41", "AVX2"), ("Haswell", "SkylakeX"), (1, 2))
# Not all 16: in these five every two switches meet in all four ways, and two of them have two threads.
SETTINGS = (
    Setting("default", "SSE41", "Haswell", 2),
    Setting("default", "AVX2", "SkylakeX", 1),
    Setting("avx2", "SSE41", "SkylakeX", 1),
    Setting("avx2", "AVX2", "Haswell", 1),
    Setting("avx2", "AVX2", "SkylakeX", 2),
)
# Every test file is one of these or one of those: a new one has to say which.
NUMERIC = (
    "tests/advice",
    "tests/classroom/test_computed.py",
    "tests/classroom/test_dream.py",
    "tests/contract",
    "tests/docs/test_paper_repro.py",
    "tests/jepa",
    "tests/logs/test_analysis.py",
    "tests/logs/test_counts.py",
    "tests/logs/test_models.py",
    "tests/logs/test_recommended_price.py",
    "tests/losses",
    "tests/parity",
    "tests/pixels/diagnostics",
    "tests/pixels/evaluation",
    "tests/pixels/model",
    "tests/pixels/planning",
    "tests/pixels/training",
    "tests/planning",
    "tests/point_mass",
    "tests/property/test_corrected_bounds.py",
    "tests/theory",
    "tests/unit",
    "spectral_jepa",  # the numbers that docstrings print
)
# Files, messages, processes, rules, pictures.
OTHER = (
    "tests/browser",
    "tests/classroom/test_apps.py",
    "tests/classroom/test_offline_page.py",
    "tests/docs/test_cluster_page.py",
    "tests/classroom/test_to_browser.py",
    "tests/docs/test_data_formats_page.py",
    "tests/docs/test_docstrings.py",
    "tests/docs/test_gpu_session.py",
    "tests/docs/test_own_weights_pages.py",
    "tests/docs/test_public_api.py",
    "tests/docs/test_readme.py",
    "tests/docs/test_rules.py",
    "tests/docs/test_site.py",
    "tests/docs/test_verdicts.py",
    "tests/integration",
    "tests/logs/test_episodes.py",
    "tests/logs/test_files.py",
    "tests/logs/test_formats.py",
    "tests/logs/test_frames_and_steps.py",
    "tests/logs/test_labels.py",
    "tests/mutation",
    "tests/pixels/data",
    "tests/pixels/environments",
    "tests/pixels/reports",
    "tests/pixels/test_cli.py",
    "tests/pixels/test_foreign_commands.py",
    "tests/pixels/test_pretrained.py",
    "tests/pixels/test_settings.py",
    "tests/plotting",
    "tests/processors",
    "tests/property/test_wrong_*.py",
    "tests/sweep",
    "tests/training",
)
