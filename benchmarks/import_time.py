"""How much `import dashscope_oss` costs over the import of httpx2 and pydantic, which it needs.

Run by hand on a quiet machine: ``python benchmarks/import_time.py [RUNS]``. The house allows
30 ms. Each run is a new interpreter; the figure is CPU time, so that waiting for the disk or for
other processes does not count, and the median of all runs.
"""

import os
import subprocess
import sys
import tempfile
from statistics import median

PROBE = """
import time
import httpx2, pydantic
began = time.process_time()
import dashscope_oss
print(time.process_time() - began)
"""
ALLOWED = 30.0


def measure(cache: str) -> float:
    """Return the CPU time of one import in a new interpreter, in milliseconds.

    Bytecode is kept in ``cache``, as it is of what pip has installed, whatever this machine says.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    child = subprocess.run(
        [sys.executable, "-c", PROBE],
        check=True,
        capture_output=True,
        text=True,
        env={**environment, "PYTHONPYCACHEPREFIX": cache},
    )
    return float(child.stdout) * 1000


def main() -> None:
    """Measure and print; the first run only warms the caches of the disk and of bytecode."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    with tempfile.TemporaryDirectory() as cache:
        measure(cache)
        times = sorted(measure(cache) for _ in range(runs))
    print(
        f"import dashscope_oss over httpx2 and pydantic: {median(times):.1f} ms of CPU "
        f"(median of {runs}, {times[0]:.1f} to {times[-1]:.1f}); allowed: {ALLOWED:.0f} ms"
    )


if __name__ == "__main__":
    main()
