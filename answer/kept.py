"Tables of results that grow row by row, so that a script that was stopped can go on."
import pandas as pd
from filelock import FileLock

from movielens_ce.runs import atomic_write


def rows_in(path, *keys):
    "The rows of a table. If there is no file, none, with the columns `keys`."
    return pd.read_csv(path, dtype=dict(fold=str)) if path.exists() else pd.DataFrame(columns=keys)


def add(path, *rows):
    "Adds rows, as dicts, to a table; several processes may do so at once."
    with FileLock(f'{path}.lock'):
        together = pd.concat([t for t in (rows_in(path), pd.DataFrame(rows)) if len(t)])
        atomic_write(path, lambda tmp: together.to_csv(tmp, index=False))
