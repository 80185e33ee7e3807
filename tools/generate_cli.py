"""Write the command line's reference page and its frozen surface from the application itself.

::

    python tools/generate_cli.py            # writes docs/guides/cli.md and tests/cli/surface.txt

Tests compare both with what the application says, so that no command or option changes unseen and
none is left undocumented.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from quintet.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "guides" / "cli.md"
SURFACE = ROOT / "tests" / "cli" / "surface.txt"
INTRODUCTION = """\
# The command line

<!-- Written by tools/generate_cli.py from the application; edit the help texts, not this page. -->

Results go to standard output as a table, or with `--format json` or `--format csv` for other
programs; progress and messages go to standard error. An error is one line and an exit code:

| code | what it means |
|---|---|
| 0 | done |
| 1 | something outside quintet failed, such as a full disk; or `quintet doctor` found a problem |
| 2 | usage: an unknown command, option or setting |
| 3 | the data cannot be used as given |
| 4 | an id that the bundle does not know |
| 5 | a model that is not fitted |
| 6 | the bundle is missing, damaged or of another version |
| 7 | the checkpoint is damaged or belongs to another run |
| 8 | a data source cannot be reached or verified |
| 9 | an optional dependency is not installed |
| 10 | the service refuses a request |
| 11 | the journal cannot be read or written, or another process holds it |
| 70 | an error that quintet did not expect; `QUINTET_DEBUG=1` shows where it was raised |

Settings are given as TOML with `--config`, and one by one with `--set group.name=value`;
`quintet settings` lists them all. Settings of a data source are given with `--data name=value`;
`quintet data sources` lists them.
"""


def commands(command: Any, path: str = "quintet") -> Iterator[tuple[str, Any]]:
    """All commands with the words that call them, groups before their members."""
    yield path, command
    for name, member in getattr(command, "commands", {}).items():
        yield from commands(member, f"{path} {name}")


def parameters(command: Any) -> tuple[list[Any], list[Any]]:
    """Arguments and options, those that help hides left out."""
    shown = [one for one in command.params if not getattr(one, "hidden", False)]
    arguments = [one for one in shown if one.param_type_name == "argument"]
    return arguments, [one for one in shown if one.param_type_name == "option"]


def takes(option: Any) -> str:
    """What stands behind an option; nothing for a switch."""
    return "" if option.is_flag else str(option.metavar)


def surface() -> str:
    """One line a command and one a parameter: what scripts rely on."""
    lines = []
    for path, command in commands(get_command(app)):
        lines.append(path)
        arguments, options = parameters(command)
        lines += [f"  {one.metavar or one.name.upper()}" for one in arguments]
        for option in options:
            names = "/".join([*option.opts, *option.secondary_opts])
            lines.append(f"  {names} {takes(option)}".rstrip() + " *" * bool(option.required))
    return "\n".join(lines) + "\n"


def page() -> str:
    """The reference page."""
    sections = [INTRODUCTION]
    for path, command in commands(get_command(app)):
        if path != "quintet":
            sections.append(section(path, command))
    return "\n".join(sections)


def section(path: str, command: Any) -> str:
    """One command: what it does, its parameters, its examples."""
    heading = "#" * (1 + len(path.split()[1:])) if hasattr(command, "commands") else "##"
    arguments, options = parameters(command)
    lines = [f"{heading} `{path}`", "", paragraphs(command.help or "")]
    if hasattr(command, "commands"):
        return "\n".join(lines) + "\n"
    usage = " ".join(str(one.metavar or one.name.upper()) for one in arguments)
    lines += ["", "```", f"{path} {usage}".rstrip() + (" [OPTIONS]" if options else ""), "```"]
    if arguments:
        lines += ["", "| argument | what |", "|---|---|"]
        lines += [row(one.metavar or one.name.upper(), one.help) for one in arguments]
    if options:
        lines += ["", "| option | what |", "|---|---|"]
        for option in options:
            name = f"{option.opts[0]} {takes(option)}".rstrip()
            lines.append(row(name, (option.help or "") + default(option)))
    lines += ["", "```console", *example_lines(command.epilog or ""), "```"]
    return "\n".join(lines) + "\n"


def default(option: Any) -> str:
    """The default in words; nothing where there is none worth telling."""
    if option.required:
        return " Required."
    value = getattr(option.default, "value", option.default)
    if option.is_flag or value is None or value == []:
        return ""
    return f" Default: `{value}`."


def row(name: str, text: str) -> str:
    """A row of a Markdown table."""
    cell = " ".join(text.split()).replace("|", "\\|")
    return f"| `{name.replace('|', chr(92) + '|')}` | {cell} |"


def paragraphs(text: str) -> str:
    """Help text with its paragraphs kept and its lines joined."""
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


def example_lines(epilog: str) -> list[str]:
    """The commands of the examples below a help text."""
    lines = (line.strip() for line in epilog.splitlines())
    return ["$ " + re.sub(r"\\\[", "[", line) for line in lines if line.startswith("quintet ")]


def main() -> None:
    """Write both files."""
    for path, text in ((PAGE, page()), (SURFACE, surface())):
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
