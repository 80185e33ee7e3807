"""Install torch without the gigabytes of CUDA libraries where they can be avoided.

    python tools/install_torch.py [REQUIREMENT]

A dry run of pip tells what it would fetch. Where that includes CUDA packages and ``uv`` is
installed, uv is asked for the CPU build; without uv, pip installs what it offers and the size is
said first. On a machine with an NVIDIA GPU the CUDA build is what one wants: it is left alone.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REQUIREMENT = "torch==2.13.0"
PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def main() -> int:
    """Install; returns the exit status of the installer."""
    requirement = sys.argv[1] if len(sys.argv) > 1 else REQUIREMENT
    cuda = [] if shutil.which("nvidia-smi") else cuda_packages(requirement)
    if cuda and (uv := shutil.which("uv")):
        options = ["--quiet", "--python", sys.executable, "--torch-backend=cpu"]
        done = subprocess.run([uv, "pip", "install", *options, requirement], check=False)  # noqa: S603
        if done.returncode == 0:
            return 0
    if cuda:
        print(
            f"pip offers the CUDA build of torch with {len(cuda)} packages beside it, several GB; "
            "with uv installed (pip install uv), the CPU build is taken instead",
            file=sys.stderr,
        )
    return subprocess.run([*PIP, requirement], check=False).returncode  # noqa: S603


def cuda_packages(requirement: str) -> list[str]:
    """Names of the CUDA packages that pip would install; none where its dry run fails."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [*PIP, "--dry-run", "--report", str(report), requirement]
        # an old pip knows no --report, and the plain installation says best what is wrong
        subprocess.run(command, capture_output=True, check=False)  # noqa: S603
        try:
            planned = json.loads(report.read_text(encoding="utf8"))["install"]
        except (OSError, ValueError, KeyError):
            return []
    names = [package["metadata"]["name"].lower() for package in planned]
    return [name for name in names if name.startswith(("nvidia-", "cuda-", "triton"))]


if __name__ == "__main__":
    sys.exit(main())
