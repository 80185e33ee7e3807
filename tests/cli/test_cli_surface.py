"""The surface is frozen, documented, and answers at once."""

import importlib.util
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import done

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "pandas", "sklearn", "ibis", "numpy", "pyarrow", "duckdb", "optuna", "matplotlib")


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("generate_cli", ROOT / "tools/generate_cli.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_commands_and_options_are_those_of_the_golden_file(generator):
    golden = (ROOT / "tests/cli/surface.txt").read_text(encoding="utf-8")
    assert generator.surface() == golden, "meant? run: python tools/generate_cli.py"


def test_the_page_is_up_to_date(generator):
    page = (ROOT / "docs/guides/cli.md").read_text(encoding="utf-8")
    assert generator.page() == page, "run: python tools/generate_cli.py"


def test_every_command_has_examples_and_every_parameter_help(generator):
    from typer.main import get_command

    from quintet.cli.app import app

    for path, command in generator.commands(get_command(app)):
        if hasattr(command, "commands"):
            continue
        examples = generator.example_lines(command.epilog or "")
        assert examples, path
        assert any(line.startswith(f"$ {path}") for line in examples), path
        arguments, options = generator.parameters(command)
        for parameter in [*arguments, *options]:
            assert parameter.help, (path, parameter.name)
            assert parameter.metavar is not None, (path, parameter.name)


def test_help_shows_the_examples():
    assert "quintet train events.csv" in done("train", "--help").out


def test_version():
    from importlib.metadata import version

    assert done("--version").out.strip() == f"quintet {version('quintet')}"


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\n"
        "from quintet.cli import main\n"
        "try:\n"
        f"    main({arguments})\n"
        "except SystemExit:\n"
        "    pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr.strip() == "[]"
    assert run.stdout


def test_help_takes_less_than_half_a_second_of_processor_time():
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-c", "from quintet.cli import main; main(['train', '--help'])"]
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # one of many is enough: a busy machine adds to a run, never takes from it
    assert any(seconds() < 0.5 for _ in range(15))


def test_doctor_names_the_packages_and_exits_0():
    checks = {check["check"]: check for check in done("doctor", "--format", "json").json}
    assert checks["torch"]["status"] == "ok"
    assert checks["python"]["found"] == sys.version.split()[0]
    assert {"threads", "bfloat16", "gpu", "cache folder", "demo data"} <= set(checks)


def test_doctor_exits_1_where_something_is_missing(monkeypatch):
    from quintet.cli import doctor
    from tests.cli.running import quintet

    found = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda p: None if p == "scipy" else found(p))
    run = quintet("doctor", "--format", "json")
    assert run.code == 1
    missing = [check for check in run.json if check["status"] == "problem"]
    assert [check["check"] for check in missing] == ["scipy"]
    assert "pip install 'scipy" in missing[0]["found"]
