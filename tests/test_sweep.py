"A comparison that is killed, run twice at once, or spread over a cluster ends with the same table."
import os
import signal
import subprocess
import sys
import time

import joblib
import pandas as pd
import pytest

from movielens_ce.comparison import compare

MODELS = ['dot', 'ordinal']


@pytest.fixture
def ratings_file(made_up, tmp_path):
    made_up.to_csv(tmp_path/'ratings.csv', index=False)
    return tmp_path/'ratings.csv'


def command(ratings_file, out, jobs=1):
    return [sys.executable, '-c', 'from movielens_ce.cli import main; main()', 'compare', '--data', str(ratings_file), '--folds', 'random:0,random:1', '--seeds', '0,1',
            '--models', ','.join(MODELS), '--epochs', '2', '--out', str(out), '--jobs', str(jobs)]


def plain(results): return results.drop(columns='train_seconds').astype(dict(wd=object, options=object)).astype(dict(wd=str, options=str))
def table(out): return plain(pd.read_csv(out/'results.csv'))
def kept(out): return {p.name: p.stat().st_mtime_ns for p in (out/'runs').glob('[!.]*.npz')}


@pytest.fixture(scope='module')
def uninterrupted(made_up):
    "What a comparison in this process gives."
    return plain(compare(made_up, MODELS, ['random:0', 'random:1'], [0, 1], 2))


def test_killed_at_any_moment_it_goes_on(ratings_file, tmp_path, uninterrupted):
    out, before = tmp_path/'out', {}
    for wanted in (1, 4):                                                # killed twice, each time after more runs
        process = subprocess.Popen(command(ratings_file, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        while len(kept(out)) < wanted and process.poll() is None: time.sleep(.02)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL                         # it was not done
        assert before.items() <= kept(out).items()                       # nothing that was done is redone
        before = kept(out)
    assert subprocess.run(command(ratings_file, out), capture_output=True).returncode == 0
    assert before.items() <= kept(out).items() and len(kept(out)) == 8
    pd.testing.assert_frame_equal(table(out), uninterrupted)


def test_what_a_killed_run_left_is_not_a_run(ratings_file, tmp_path, uninterrupted):
    out = tmp_path/'out'
    (out/'runs').mkdir(parents=True)
    (out/'runs/.tmp-half.npz').write_bytes(b'PK half a file')                 # killed while it was written
    assert subprocess.run(command(ratings_file, out), capture_output=True).returncode == 0
    pd.testing.assert_frame_equal(table(out), uninterrupted)


def test_two_at_once_do_not_corrupt_each_other(ratings_file, tmp_path, uninterrupted):
    out = tmp_path/'out'
    both = [subprocess.Popen(command(ratings_file, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    errors = [p.communicate()[1] for p in both]
    assert [p.returncode for p in both] == [0, 0], errors
    pd.testing.assert_frame_equal(table(out), uninterrupted)


def test_on_a_dask_cluster(made_up, tmp_path, uninterrupted):
    distributed = pytest.importorskip('distributed', reason='needs dask[distributed]')
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, distributed.Client(cluster):
        with joblib.parallel_config(backend='dask'): results = compare(made_up, MODELS, ['random:0', 'random:1'], [0, 1], 2, out=tmp_path/'out', jobs=2)
    pd.testing.assert_frame_equal(plain(results), uninterrupted)
