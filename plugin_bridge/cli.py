"""The command line: one parser, and the edge at which errors become one line and an exit code."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from encoders.errors import SamplefitError
from plugin_bridge import (
    cli_daemon,
    cli_daw,
    cli_library,
    cli_models,
    cli_panel,
    cli_press,
    cli_service,
    cli_studies,
    cli_trainer,
)
from plugin_bridge.cli_common import program_version

MENDABLE, OURS = 2, 1


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command in one line, as every error here."""

    def error(self, message: str) -> NoReturn:
        self.exit(MENDABLE, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line of the contract."""
    common = argparse.ArgumentParser(add_help=False)
    text = "where catalogue, models and answers live (else SAMPLEFIT_STATE)"
    common.add_argument("--state", metavar="DIR", default=argparse.SUPPRESS, help=text)
    top = _Parser(prog="samplefit", description="The drum one-shots in your own library that fit this mix.")
    top.add_argument("--state", metavar="DIR", help=text)  # its default, which no command's own undoes
    top.add_argument("--version", action="version", version=f"samplefit {program_version()}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for module in (
        cli_press,
        cli_daemon,
        cli_panel,
        cli_library,
        cli_models,
        cli_daw,
        cli_service,
        cli_trainer,
        cli_studies,
    ):
        module.register(commands, common)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command. 0: done. 2: the user can mend it, told in one line. A traceback and 1: a bug of ours."""
    for stream in (sys.stdout, sys.stderr):
        # Always UTF-8, into a pipe on Windows too, where names of other scripts could not be written otherwise;
        # those that are no Unicode come out as their bytes.
        stream.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    try:
        chosen = parser().parse_args(arguments)
        code = chosen.run(chosen) or 0
        sys.stdout.flush()
        return code
    except SamplefitError as error:
        print(f"samplefit: {error.text}", file=sys.stderr)
        return OURS if error.code == "internal" else MENDABLE
    except KeyboardInterrupt:
        print("samplefit: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our stdout went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.stdout = None  # what it still holds cannot be written either, nor need it be tried at exit
        print("samplefit: no space left on the disk that this writes to; free some", file=sys.stderr)
        return MENDABLE


if __name__ == "__main__":
    sys.exit(main())
