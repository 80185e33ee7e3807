"""Where a network runs."""

from __future__ import annotations

import torch

from quintet.errors import ConfigError


def pick_device(name: str) -> torch.device:
    """The device called ``name``.

    Raises:
        ConfigError: it is neither cpu nor cuda, or there is no such device here.
    """
    if name not in ("cpu", "cuda"):
        raise ConfigError(f"unknown device {name!r}; choose one of: cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device 'cuda': torch sees no GPU here; use --device cpu")
    return torch.device(name)
