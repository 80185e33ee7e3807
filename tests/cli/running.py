"""The command line, run in this process."""

import contextlib
import io
import json
from dataclasses import dataclass
from typing import Any

from quintet.cli import main

#: a marketplace small enough to train on in a second
SMALL = ["--data", "n_users=60", "--data", "n_items=50", "--data", "events_per_user=15"]
TINY = ["--set", "model.width=16", "--set", "loop.epochs=1", "--set", "loop.tokens_per_batch=400"]


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def quintet(*arguments: object) -> Run:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(one) for one in arguments])
        except SystemExit as leaving:
            code = int(leaving.code or 0)
    return Run(code, out.getvalue(), err.getvalue())


def done(*arguments: object) -> Run:
    run = quintet(*arguments)
    assert run.code == 0, run.err
    return run
