"Shows commands of this package in the guides: they run in the page's own process, which has the imports already."
import contextlib
import io
import os
from unittest.mock import patch

from movielens_ce.use.cli import main


@contextlib.contextmanager
def in_folder(folder):
    "Work in `folder`, then in the folder of before."
    here = os.getcwd()
    os.chdir(folder)
    try: yield
    finally: os.chdir(here)


def run(command, folder):
    "Run a command of this package in `folder`, as a terminal would. Prints it and its output; returns its exit status."
    out, plain = io.StringIO(), {k: v for k, v in os.environ.items() if 'COLOR' not in k} | dict(COLUMNS='110')
    terminal = (in_folder(folder), patch.dict(os.environ, plain, clear=True),
                patch('rich.console._is_jupyter', return_value=False),
                contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()))
    with contextlib.ExitStack() as stack:
        for part in terminal: stack.enter_context(part)
        try: main(command.split()[1:])
        except SystemExit as e: status = e.code
    print(f'$ {command}\n{out.getvalue()}')
    return status
