"""``python -m benchmarks.faults.durability``: is an acknowledged record ever lost?

Real processes are killed, real files truncated, disks filled and flushes refused, while several
threads write; afterwards the journal is opened and compared with what was acknowledged.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.faults.servers import PostgresServer, RedisServer, running
from benchmarks.faults.tally import Tally
from benchmarks.faults.worker import USERS
from benchmarks.faults.writers import Audit, WriterProcess, build_shim
from quintet.store import Owner, open_store

#: a writer starts so far behind the last number: what was in flight is sent again
OVERLAP = 30


def kills(folder: Path, rounds: int, chance: random.Random) -> Tally:
    """The process dies by SIGKILL while eight threads write, again and again on one journal."""
    audit, url = Audit(Tally("kill -9 during writes")), str(folder / "journal")
    everything: set[int] = set()
    for _ in range(rounds):
        writer = WriterProcess(url, max(max(everything, default=0) - OVERLAP, 0))
        writer.wait_for(acknowledged=OVERLAP + 10)
        time.sleep(chance.uniform(0, 0.2))
        everything |= writer.kill()
        with open_store(url) as journal:
            audit.check(journal, everything)
    return audit.done()


def faults(folder: Path, rounds: int, kind: str, name: str, every: int) -> Tally:
    """Writes or flushes fail for a while, then no more; the writer must go on by itself."""
    tally = Tally(name)
    shim = build_shim(folder)
    if shim is None:
        tally.not_run = "no C compiler"
        return tally
    audit = Audit(tally)
    switch = folder / "fault"
    environment = {
        "LD_PRELOAD": str(shim),
        "QUINTET_FAULT": str(switch),
        "QUINTET_FAULT_EVERY": str(every),
    }
    url, everything, refused = str(folder / "journal"), set[int](), 0
    for _ in range(rounds):
        writer = WriterProcess(url, max(max(everything, default=0) - OVERLAP, 0), environment)
        writer.wait_for(acknowledged=OVERLAP + 10)
        switch.write_text(kind)
        writer.wait_for(refused=8)
        switch.unlink()
        writer.wait_for(acknowledged=len(writer.acknowledged) + 20)
        switch.write_text(kind)
        time.sleep(0.02)
        everything |= writer.kill()
        switch.unlink()
        refused += writer.refused
        with open_store(url) as journal:
            audit.check(journal, everything)
    return audit.done(f"{refused} refused")


def full_disk(folder: Path, rounds: int) -> Tally:
    """A real file system of 6 MB fills up, then somebody makes room."""
    tally = Tally("disk full")
    mount = folder / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(mount)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        tally.not_run = "no right to mount a small file system"
        return tally
    audit, refused = Audit(tally), 0
    try:
        for number in range(rounds):
            ballast = mount / "ballast"
            ballast.write_bytes(bytes(3_500_000 + 150_000 * (number % 4)))
            writer = WriterProcess(str(mount / "journal"), 0)
            writer.wait_for(refused=10)
            ballast.unlink()
            writer.wait_for(acknowledged=len(writer.acknowledged) + 20)
            acknowledged = writer.kill()
            refused += writer.refused
            with open_store(mount / "journal") as journal:
                audit.check(journal, acknowledged)
            shutil.rmtree(mount / "journal")
    finally:
        subprocess.run(["umount", str(mount)], check=True)
    return audit.done(f"{refused} refused")


def truncations(folder: Path, rounds: int, chance: random.Random) -> Tally:
    """One file of a killed writer's journal loses its end, its beginning, or all of it."""
    audit = Audit(Tally("truncated or missing file"))
    writer = WriterProcess(str(folder / "journal"), 0)
    writer.wait_for(acknowledged=400)
    acknowledged = writer.kill()
    names = ["journal.sqlite", "journal.sqlite-wal", "records.log"]
    names += ["keys/keys.bin", "keys/keys.mirror"]
    for number in range(rounds):
        copy = folder / "copy"
        shutil.copytree(folder / "journal", copy)
        path = copy / names[number % len(names)]
        length = chance.choice([0, chance.randrange(path.stat().st_size)])
        if chance.random() < 0.2:
            path.unlink()
        else:
            os.truncate(path, length)
        with open_store(copy) as journal:
            audit.check(journal, acknowledged)
        shutil.rmtree(copy)
    return audit.done()


def wipe(folder: Path, rounds: int) -> Tally:
    """Backup, wipe, restore: every person's records and the order of all are the same."""
    audit = Audit(Tally("backup, wipe, restore of a journal"))
    writer = WriterProcess(str(folder / "journal"), 0)
    writer.wait_for(acknowledged=200)
    acknowledged = writer.kill()
    owners = [Owner.user(f"user-{number}") for number in range(USERS)]
    for _ in range(rounds):
        with open_store(folder / "journal") as journal:
            before = [journal.read_owner(owner) for owner in owners]
            journal.backup(folder / "backup", keys=folder / "safe" / "keys.bin")
        shutil.rmtree(folder / "journal")
        with open_store(folder / "journal") as journal:
            journal.restore(folder / "backup", keys=folder / "safe" / "keys.bin")
            same = before == [journal.read_owner(owner) for owner in owners]
            audit.check(journal, acknowledged, ok=same)
    return audit.done()


def erasures(folder: Path, rounds: int) -> Tally:
    """Users are erased: nothing of them stands in any file, the backup's among them."""
    tally = Tally("erased users: traces in any file")
    writer = WriterProcess(str(folder / "journal"), 0)
    writer.wait_for(acknowledged=300)
    writer.kill()
    with open_store(folder / "journal") as journal:
        held = {f"user-{n}": len(journal.read_owner(Owner.user(f"user-{n}"))) for n in range(USERS)}
        journal.backup(folder / "backup", keys=folder / "safe" / "keys.bin")
        secrets = {key.secret for key in journal.keys.everything()}  # type: ignore[attr-defined]
        gone = list(held)[:rounds]
        receipts = [journal.erase(Owner.user(user)) for user in gone]
        left = {key.secret for key in journal.keys.everything()}  # type: ignore[attr-defined]
    files = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    left_over = sum(files.count(secret) for secret in secrets - left)
    with open_store(folder / "journal") as journal:
        for user, receipt in zip(gone, receipts, strict=True):
            traces = files.count(f'"{user}"'.encode()) + len(journal.read_owner(Owner.user(user)))
            whole = receipt.n_records == held[user] and not receipt.unreached
            tally.count(traces, ok=whole and not left_over)
        tally.notes += journal.verify().problems
    tally.notes.append(f"{left_over} keys left of {sum(held.values()):,} records")
    return tally


def server_kills(
    kind: type[RedisServer] | type[PostgresServer], name: str, rounds: int, chance: random.Random
) -> Tally:
    """The store's server dies while eight threads write, and is started again."""
    tally = Tally(f"{name} server killed")
    if not kind.binary:
        tally.not_run = kind.missing
        return tally
    audit = Audit(tally)
    everything: set[int] = set()
    with running(kind) as server:
        for _ in range(rounds):
            writer = WriterProcess(server.url, max(max(everything, default=0) - OVERLAP, 0))
            writer.wait_for(acknowledged=OVERLAP + 10)
            time.sleep(chance.uniform(0, 0.1))
            server.kill()
            writer.wait_for(refused=1)
            server.start()
            writer.wait_for(acknowledged=len(writer.acknowledged) + 10)
            everything |= writer.kill()
            with open_store(server.url) as journal:
                audit.check(journal, everything)
    return audit.done()


def lines(chance: random.Random, many: int, few: int) -> list[Callable[[Path], Tally]]:
    """Every fault of a journal; each is given an empty folder."""
    return [
        lambda f: kills(f, many, chance),
        lambda f: full_disk(f, few),
        lambda f: faults(f, few, "f", "writes refused (ENOSPC)", 3),
        lambda f: faults(f, few, "h", "writes cut short", 3),
        lambda f: faults(f, few, "s", "flushes refused (EIO)", 2),
        lambda f: truncations(f, many, chance),
        lambda f: wipe(f, few),
        lambda f: erasures(f, min(many, USERS)),
        lambda _: server_kills(RedisServer, "Redis", few, chance),
        lambda _: server_kills(PostgresServer, "PostgreSQL", few, chance),
    ]


def main() -> int:
    """Run all faults; the exit code says whether all were survived."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m benchmarks.faults.durability"
    )
    parser.add_argument("--quick", action="store_true", help="a few rounds of each")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    many, few = (5, 2) if arguments.quick else (50, 10)
    passed = True
    for run in lines(random.Random(arguments.seed), many, few):
        with TemporaryDirectory(prefix="quintet-faults-") as folder:
            tally = run(Path(folder))
        print(tally.line(), flush=True)
        passed &= tally.passed or bool(tally.not_run)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
