"A comparison that is killed, run twice at once, or spread over a cluster ends with the same table."
import os
import signal
import time
from pathlib import Path

import joblib
import pandas as pd
import pytest
from forked import ensure_running, start

from movielens_ce.compare.comparison import compare
from movielens_ce.use.cli import main

MODELS = ['dot', 'ordinal']


@pytest.fixture
def ratings_file(made_up, tmp_path):
    made_up.to_csv(tmp_path/'ratings.csv', index=False)
    return tmp_path/'ratings.csv'


def started(ratings_file, out):
    "The command in a process of its own; what it prints is in `out`.log."
    args = ['compare', '--data', ratings_file, '--folds', 'random:0,random:1', '--seeds', '0', '--models',
            ','.join(MODELS), '--epochs', '2', '--out', out, '--jobs', 1]
    return start(main, list(map(str, args)), log=f'{out}.log')


def ended(process):
    process.join()
    return process.exitcode


def plain(results):
    return results.drop(columns='train_seconds').astype(dict(wd=object, options=object)).astype(dict(wd=str,
                                                                                                     options=str))
def table(out): return plain(pd.read_csv(out/'results.csv'))
def kept(out): return {p.name: p.stat().st_mtime_ns for p in (out/'runs').glob('[!.]*.npz')}


@pytest.fixture(scope='module')
def uninterrupted(made_up):
    "What a comparison in this process gives."
    return plain(compare(made_up, MODELS, ['random:0', 'random:1'], [0], 2, progress=False).frame)


@pytest.mark.slow(4)
def test_killed_at_any_moment_it_goes_on(ratings_file, tmp_path, uninterrupted):
    out, before = tmp_path/'out', {}
    for wanted in (1, 2):                                                # killed twice, each time after more runs
        process = started(ratings_file, out)
        while len(kept(out)) < wanted and process.is_alive(): time.sleep(.005)
        os.killpg(process.pid, signal.SIGKILL)
        assert ended(process) == -signal.SIGKILL                         # it was not done
        assert before.items() <= kept(out).items()                       # nothing that was done is redone
        before = kept(out)
    assert ended(started(ratings_file, out)) == 0
    assert before.items() <= kept(out).items() and len(kept(out)) == 4
    pd.testing.assert_frame_equal(table(out), uninterrupted)


@pytest.mark.slow(4)
def test_what_a_killed_run_left_is_not_a_run(ratings_file, tmp_path, uninterrupted):
    out = tmp_path/'out'
    (out/'runs').mkdir(parents=True)
    (out/'runs/.tmp-half.npz').write_bytes(b'PK half a file')                 # killed while it was written
    assert ended(started(ratings_file, out)) == 0
    pd.testing.assert_frame_equal(table(out), uninterrupted)


@pytest.mark.slow(4)
def test_two_at_once_do_not_corrupt_each_other(ratings_file, tmp_path, uninterrupted):
    out = tmp_path/'out'
    both = [started(ratings_file, out) for _ in range(2)]
    assert [ended(p) for p in both] == [0, 0], Path(f'{out}.log').read_text()
    pd.testing.assert_frame_equal(table(out), uninterrupted)


@pytest.mark.slow(12)
def test_on_a_dask_cluster(made_up, tmp_path, uninterrupted):
    distributed = pytest.importorskip('distributed', reason='needs dask[distributed]')
    ensure_running()
    import dask
    # its processes, too
    forked = dask.config.set({'distributed.worker.multiprocessing-method': 'forkserver'})
    with forked, distributed.LocalCluster(n_workers=2, threads_per_worker=1,
                                          dashboard_address=None) as cluster, distributed.Client(cluster):
        with joblib.parallel_config(backend='dask'):
            results = compare(made_up, MODELS, ['random:0', 'random:1'], [0], 2, out=tmp_path/'out', jobs=2,
                              progress=False).frame
    pd.testing.assert_frame_equal(plain(results), uninterrupted)
