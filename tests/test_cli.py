"The command as a person uses it, and everything that a person can get wrong."
import contextlib
import io
import os
import subprocess
import sys

import pandas as pd
import pytest
from forked import own_environment
from hypothesis import HealthCheck, given, settings, strategies as st

from movielens_ce.cli import main


def run(*args):
    "(status, output, error) of the command, in this process."
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try: main([str(a) for a in args])
        except SystemExit as e: return e.code, out.getvalue(), err.getvalue()


def refused(*args):
    "The one line with which the command refuses `args`; fails if it does anything else."
    status, out, err = run(*args)
    assert status == 2 and out == '', (status, out)
    assert err.count('\n') == 1 and err.startswith('movielens-ce: ') and 'Traceback' not in err, err
    return err


GOOD = 'user,item,rating,timestamp\n' + ''.join(f'{u},{i},{(u*i) % 5 + 1},{u + i}\n' for u in range(12) for i in range(12))
BAD_FILES = {
    'missing column': ('user,item,stars\n1,2,3\n', "no column 'rating'"),
    'empty': ('', 'empty'),
    'header only': ('user,item,rating\n', 'no ratings'),
    'missing rating': ('user,item,rating\n1,2,3\n1,3,\n', 'missing'),
    'missing user': ('user,item,rating\n1,2,3\n,3,4\n', 'missing'),
    'infinite rating': ('user,item,rating\n1,2,3\n1,3,inf\n', 'rating inf is not a finite number'),
    'text rating': ('user,item,rating\n1,2,3\n1,3,good\n', "'good' is not a finite number"),
    'duplicate pair': ('user,item,rating\n1,2,3\n1,2,4\n', '--duplicates last'),
    'one level': ('user,item,rating\n1,2,3\n1,3,3\n', 'r.csv: all ratings are the same (3): there is nothing to predict'),
    'continuous': ('user,item,rating\n' + ''.join(f'{i},1,{i*.0137 % 1}\n' for i in range(300)), 'too many'),
    'too few': ('user,item,rating\n1,2,3\n1,3,4\n', 'too few'),
    'ragged': ('user,item,rating\n1,2,3\n1,2,3,4,5,6\n', 'not a table'),
    'binary': ('\x00\x01\x02\x03', 'NUL bytes'),
    'a NUL in an id': ('user,item,rating\n1,2,3\n1,\x003,4\n', 'NUL bytes'),
}
BAD_OPTIONS = {
    'unknown fold': (['--folds', '6'], "unknown fold '6'"), 'fold zero': (['--folds', '0'], 'unknown fold'),
    'fold word': (['--folds', 'u1'], 'random:SEED'), 'no folds': (['--folds', ','], 'empty'),
    'random without seed': (['--folds', 'random'], 'random:SEED'), 'negative random': (['--folds', 'random:-1'], 'random:SEED'),
    'unknown model': (['--models', 'dot,svd'], "unknown model 'svd'"), 'no models': (['--models', ''], 'empty'),
    'unknown option': (['--epoch', '3'], 'No such option'), 'extra word': (['fast'], 'unexpected extra argument'),
    'no epochs': (['--epochs', '0'], '--epochs'), 'epochs word': (['--epochs', 'many'], 'many'), 'half epoch': (['--epochs', '1.5'], '1.5'),
    'seed word': (['--seeds', 'x'], "'x'"), 'negative seed': (['--seeds', '-1'], '0 or more'), 'no seeds': (['--seeds', ''], '--seeds is empty'),
    'seed of torch': (['--seeds', '99999999999999999999999'], 'below 2,147,483,648'), 'duplicates': (['--duplicates', 'first'], "'raise', 'last'"),
    'no jobs': (['--jobs', '0'], '--jobs'), 'levels words': (['--levels', 'low,high'], 'list of numbers'),
    'off the scale': (['--levels', '1,2,3'], 'not on the scale'), 'one level': (['--levels', '1'], 'rating scale'),
    'levels descend': (['--levels', '5,4,3,2,1'], 'ascending'), 'column': (['--user', 'reader'], "no column 'reader'"),
    'same column': (['--user', 'item'], 'three columns'),
}


@pytest.mark.parametrize('name', BAD_FILES)
def test_bad_file(name, tmp_path):
    content, words = BAD_FILES[name]
    (tmp_path/'r.csv').write_text(content)
    assert words in refused('compare', '--data', tmp_path/'r.csv', '--out', tmp_path/'out', '--models', 'dot')
    assert (tmp_path/'r.csv').read_text() == content


@pytest.mark.parametrize('name', BAD_OPTIONS)
def test_bad_option(name, tmp_path):
    args, words = BAD_OPTIONS[name]
    (tmp_path/'r.csv').write_text(GOOD)
    assert words in refused('compare', '--data', tmp_path/'r.csv', '--out', tmp_path/'out', *args)
    assert not list(tmp_path.glob('out/runs/*'))


def test_bad_command(): assert "'compere'" in refused('compere')


def test_bad_out(tmp_path):
    (tmp_path/'r.csv').write_text(GOOD)
    (tmp_path/'file').write_text('mine')
    (tmp_path/'full').mkdir()
    (tmp_path/'full/results.csv').write_text('mine')
    base = ['compare', '--data', tmp_path/'r.csv', '--models', 'dot', '--epochs', 1, '--out']
    assert 'cannot write' in refused(*base, tmp_path/'file')
    assert 'cannot write' in refused(*base, tmp_path/'file'/'deeper')
    assert 'other files' in refused(*base, tmp_path/'full')
    assert (tmp_path/'file').read_text() == (tmp_path/'full/results.csv').read_text() == 'mine'


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() == 0, reason='root may write everywhere')
def test_unwritable_out(tmp_path):
    (tmp_path/'r.csv').write_text(GOOD)
    (tmp_path/'locked').mkdir(mode=0o500)
    assert 'cannot write' in refused('compare', '--data', tmp_path/'r.csv', '--out', tmp_path/'locked'/'out')


def test_bad_data(tmp_path):
    assert 'no such folder' in refused('compare', '--data', tmp_path/'nowhere')
    assert 'u.data is missing' in refused('compare', '--data', tmp_path)
    assert 'u.data is missing' in refused('data', '--data', tmp_path)
    (tmp_path/'r.parquet').write_bytes(b'not parquet')
    assert 'parquet' in refused('compare', '--data', tmp_path/'r.parquet')


rows = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.sampled_from(['1', '2', '3', '4', '5'])), min_size=2, max_size=20, unique_by=lambda r: r[:2])
faults = st.sampled_from(['', 'NaN', 'inf', '-inf', 'five', '6', '0', '2.5', '1e9', '٣x', "'"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows, fault=faults, at=st.integers(0, 1000))
def test_generated_bad_ratings(rows, fault, at, tmp_path):
    "Good rows on five stars and one bad rating among them."
    lines = [f'{u},{i},{r}' for u, i, r in rows]
    lines.insert(at % (len(lines) + 1), f'100,100,{fault}')
    (tmp_path/'r.csv').write_text('user,item,rating\n' + '\n'.join(lines) + '\n')
    refused('compare', '--data', tmp_path/'r.csv', '--levels', '1,2,3,4,5', '--out', tmp_path/'out')


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(option=st.sampled_from(['--folds', '--models', '--seeds', '--epochs', '--jobs', '--levels', '--item', '--out']),
       text=st.text(st.characters(blacklist_categories=['Cs']), max_size=12))
def test_generated_bad_options(option, text, tmp_path):
    "No text that is given to an option ends in a traceback. (A model that does not exist keeps the good ones from training.)"
    (tmp_path/'r.csv').write_text(GOOD)
    args = [option, text] if option != '--out' else [option, f'{tmp_path}/{text}']
    refused('compare', '--data', tmp_path/'r.csv', '--out', tmp_path/'out', *args, *([] if option == '--models' and text not in ('dot',) else ['--models', 'none']))


@pytest.mark.slow(12)
def test_whole_command(tmp_path, monkeypatch):
    "In a process of its own: table and files. A second time nothing is trained."
    (tmp_path/'r.csv').write_text(GOOD)
    args = ['compare', '--data', 'r.csv', '--models', 'dot_ce,dot', '--epochs', '1', '--folds', 'random:0,time', '--seeds', '0,1', '--out', 'out']
    done = subprocess.run([sys.executable, '-c', 'from movielens_ce.cli import main; main()', *args], cwd=tmp_path, env=own_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = pd.read_csv(tmp_path/'out/results.csv')
    assert results.columns[:13].tolist() == ['model', 'fold', 'seed', 'n_test', 'rmse', 'mae', 'accuracy', 'rounded_accuracy', 'rounded_mse',
                                             'normalized_rmse', 'normalized_accuracy', 'quadratic_kappa', 'nll'] and 'train_seconds' in results
    assert len(results) == 8 and results[['rmse', 'nll', 'train_seconds']].notna().all(axis=None)
    assert {p.name for p in (tmp_path/'out').glob('*.png')} == {'confusion_dot.png', 'confusion_dot_ce.png', 'distribution.png', 'training_curves.png'}
    assert all(line.rstrip() == line.rstrip()[:100] for line in done.stdout.splitlines())
    assert 'RMSE' in done.stdout and 'torch' in done.stdout and 'out/results.csv' in done.stdout
    monkeypatch.chdir(tmp_path)
    status, _, err = run(*args)
    assert not status and err.count(', kept') == 8
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path/'out/results.csv'), results)
    assert 'name another folder' in refused(*args, '--epochs', '2')


def test_data_command(ml):
    status, out, err = run('data', '--data', ml.path)
    assert status == 0 and 'intact' in out and '100,000 ratings' in out


def test_help_and_version():
    assert run('--version')[0] == 0 and 'compare' in run('--help')[1] and '--folds' in run('compare', '--help')[1]


def test_help_lists_the_registry():
    from movielens_ce.registry import DEFAULT_MODELS, MODELS
    words = run('compare', '--help')[1].split()
    assert set(MODELS) <= set(words)
    assert [w.strip(',') for w in words[words.index('Default:') + 1:]] == list(DEFAULT_MODELS)


def test_the_last_of_repeated_ratings_can_be_kept(tmp_path):
    (tmp_path/'r.csv').write_text(GOOD + '0,0,5,99\n')
    args = ['compare', '--data', tmp_path/'r.csv', '--out', tmp_path/'out', '--models', 'dot', '--epochs', '1', '--jobs', '1']
    assert 'repeat a (user, item) pair' in refused(*args)
    status, out, err = run(*args, '--duplicates', 'last')
    assert status == 0, err
    assert pd.read_csv(tmp_path/'out/results.csv').n_test.tolist() == [29]                  # a fifth of 144, not of 145 ratings


def test_debug_shows_the_traceback(tmp_path, monkeypatch):
    from movielens_ce import comparison
    def bug(*args): raise ValueError('a bug of ours')
    monkeypatch.setattr(comparison, 'iter_runs', bug)
    (tmp_path/'r.csv').write_text(GOOD)
    args = ['compare', '--data', tmp_path/'r.csv', '--out', tmp_path/'out']
    assert refused(*args) == 'movielens-ce: a bug of ours\n'
    for where in ([*args, '--debug'], ['--debug', *args]):
        status, out, err = run(*where)
        assert status == 2 and 'Traceback' in err and 'in bug' in err and err.endswith('movielens-ce: a bug of ours\n')


def test_times_that_are_no_numbers_are_refused_before_any_training(tmp_path):
    lines = GOOD.splitlines()
    lines[-1] = '11,11,2,yesterday'
    (tmp_path/'r.csv').write_text('\n'.join(lines))
    assert "'yesterday' is none" in refused('compare', '--data', tmp_path/'r.csv', '--models', 'dot,ordinal', '--out', tmp_path/'out')
    assert not list((tmp_path/'out').rglob('*.npz'))
