"""What keeps a running service safe: backups of the journal that it holds to itself."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quintet.web.models import Answer, Request

if TYPE_CHECKING:
    from quintet.web.service import Service


class BackupIn(Request):
    """Nothing to say: where backups go is settled when the service is started."""


class BackupOut(Answer):
    """The copy is whole and on disk."""

    request_id: str
    offset: int
    keys_copied: bool
    seconds: float


async def backup(service: Service) -> dict[str, Any]:
    """Write a copy of the journal where the settings say; answers and events go on meanwhile.

    Raises:
        StoreError: the disk refuses.
    """
    started = time.perf_counter()
    folder = service.settings.backup_folder or service.experiments.path.with_name("backup")
    keys = service.settings.backup_keys
    offset = await asyncio.to_thread(service.journal.backup, Path(folder), keys or None)
    return {
        "offset": offset,
        "keys_copied": bool(keys),
        "seconds": round(time.perf_counter() - started, 3),
    }
