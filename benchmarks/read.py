"""Seconds and peak memory to check and read made-up ratings in the layouts of MovieLens-10M (`::`) and 25M (csv), as a folder.

The files are as long as the published ones. Each size is read in a process of its own."""
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks._common import RESULTS, write
from benchmarks.growth import SIZES, made_up_ratings
from movielens_ce.movielens import MOVIELENS, load_movielens


def write_size(known, folder, chunk=1_000_000):
    "Writes made-up files of a size, sorted by user as the published ones, into `folder`."
    csv, n = known.sep == ',', known.n_ratings
    ratings = made_up_ratings(n, *SIZES[round(n, -6)]).sort_values('user', ignore_index=True)
    names = dict(user='userId', item='movieId') if csv else {}
    with open(folder/known.ratings, 'w') as f:
        for a in range(0, n, chunk):
            part = ratings[a:a + chunk].rename(columns=names).assign(timestamp=lambda d: d.index + 10**9)
            text = part.to_csv(index=False, header=csv and not a)
            f.write(text if csv else text.replace(',', '::'))
    films = pd.DataFrame(dict(movieId=range(known.n_items), genres='Comedy|Drama'))
    films.insert(1, 'title', 'Film, The ' + films.movieId.astype(str) + ' (1995)')
    text = films.to_csv(index=False) if csv else ''.join('::'.join(map(str, row)) + '\n' for row in films.itertuples(index=False))
    (folder/known.items).write_text(text)


def one(size, folder):
    "Reads a size from `folder`; prints seconds and peak memory as JSON."
    start = time.perf_counter()
    ratings = load_movielens(size, folder).ratings
    seconds = time.perf_counter() - start
    print(json.dumps(dict(size=size, ratings=len(ratings), read_s=seconds, frame_gib=ratings.memory_usage(deep=True).sum()/2**30,
                          peak_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20)))


def read(size, n_runs):
    "The rows of `n_runs` processes that read a size."
    with tempfile.TemporaryDirectory() as d:
        write_size(MOVIELENS[size], Path(d))
        command = [sys.executable, '-m', 'benchmarks.read', size, d]
        return [json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(n_runs)]


def main(n_runs):
    rows = pd.DataFrame([row for size in ('10m', '25m') for row in read(size, n_runs)])
    write(rows.groupby(['size', 'ratings'], as_index=False).median().assign(runs=n_runs), RESULTS/'read.csv')


if __name__ == '__main__': one(*sys.argv[1:])
