"""``make bench``: every bench at a length that ends within about ten minutes, one after the other.

Each prints its figures beside a peer or a physical limit measured in the same run. Benches that read third-party data
are left out, with a word, where ``GATEPOST_TEST_DATA`` has none.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import ROOT, data_folder

ALONE: tuple[tuple[str, ...], ...] = (
    ("gate",),
    ("taps", "--taps", "40"),
    ("roster",),
    ("issue",),
    ("temperature",),
    ("journal",),
    ("sync",),
    ("parsers",),
    ("screens",),
    ("qr_stream",),
    ("outside",),
)
WITH_DATA: tuple[tuple[str, str], ...] = (
    ("vectors", "."),
    ("qr", "qr"),
    ("healthcodes", "healthcodes"),
    ("fever", "fever"),
)


def run(name: str, *arguments: str) -> bool:
    """Run one bench to its end; whether its goals were met."""
    print(f"\n== {name} {' '.join(arguments)}", flush=True)
    return (
        subprocess.run([sys.executable, "-m", f"tests.bench.{name}", *arguments], cwd=ROOT, check=False).returncode == 0
    )


def main() -> int:
    """Run all; 1 when one missed its goals."""
    missed = [bench[0] for bench in ALONE if not run(*bench)]
    data = data_folder()
    if data is None:
        print("\nno third-party data: set GATEPOST_TEST_DATA for " + ", ".join(name for name, _ in WITH_DATA))
    else:
        with tempfile.TemporaryDirectory() as folder:
            for name, part in WITH_DATA:
                extra = ("--out", str(Path(folder))) if name == "fever" else ()
                if not run(name, "--data", str(data / part), *extra):
                    missed.append(name)
    print("\nall goals met" if not missed else f"\ngoals missed: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
