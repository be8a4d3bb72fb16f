"""``python -m spectral_jepa`` is the command ``spectral-jepa``; torchrun needs a module."""

from spectral_jepa.cli import main

if __name__ == "__main__":
    main()
