"The command as a person uses it, and everything that a person can get wrong."
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from forked import own_environment
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from movielens_ce.scoring.predictions import score
from movielens_ce.use.cli import main


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


GOOD = 'user,item,rating,timestamp\n' + ''.join(f'{u},{i},{(u*i) % 5 + 1},{u + i}\n' for u in range(12)
                                                for i in range(12))
BAD_FILES = {
    'missing column': ('user,item,stars\n1,2,3\n', "no column 'rating'"),
    'empty': ('', 'empty'),
    'header only': ('user,item,rating\n', 'no ratings'),
    'missing rating': ('user,item,rating\n1,2,3\n1,3,\n', 'missing'),
    'missing user': ('user,item,rating\n1,2,3\n,3,4\n', 'missing'),
    'infinite rating': ('user,item,rating\n1,2,3\n1,3,inf\n', 'rating inf is not a finite number'),
    'text rating': ('user,item,rating\n1,2,3\n1,3,good\n', "'good' is not a finite number"),
    'duplicate pair': ('user,item,rating\n1,2,3\n1,2,4\n', '--duplicates last'),
    'one level': ('user,item,rating\n1,2,3\n1,3,3\n',
                  'r.csv: all ratings are the same (3): there is nothing to predict'),
    'continuous': ('user,item,rating\n' + ''.join(f'{i},1,{i*.0137 % 1}\n' for i in range(300)), 'too many'),
    'too few': ('user,item,rating\n1,2,3\n1,3,4\n', 'too few'),
    'ragged': ('user,item,rating\n1,2,3\n1,2,3,4,5,6\n', 'names 3 columns, but the rows have 6 fields'),
    'binary': ('\x00\x01\x02\x03', 'NUL bytes'),
    'a NUL in an id': ('user,item,rating\n1,2,3\n1,\x003,4\n', 'NUL bytes'),
}
BAD_OPTIONS = {
    'unknown fold': (['--folds', '6'], "unknown fold '6'"), 'fold zero': (['--folds', '0'], 'unknown fold'),
    'fold word': (['--folds', 'u1'], 'random:SEED'), 'no folds': (['--folds', ','], 'empty'),
    'random without seed': (['--folds', 'random'], 'random:SEED'),
    'negative random': (['--folds', 'random:-1'], 'random:SEED'),
    'unknown model': (['--models', 'dot,svd'], "unknown model 'svd'"), 'no models': (['--models', ''], 'empty'),
    'unknown option': (['--epoch', '3'], 'No such option'), 'extra word': (['fast'], 'unexpected extra argument'),
    'no epochs': (['--epochs', '0'], '--epochs'), 'epochs word': (['--epochs', 'many'], 'many'),
    'half epoch': (['--epochs', '1.5'], '1.5'),
    'seed word': (['--seeds', 'x'], "'x'"), 'negative seed': (['--seeds', '-1'], '0 or more'),
    'no seeds': (['--seeds', ''], 'the list is empty'),
    'seed of torch': (['--seeds', '99999999999999999999999'], 'below 2,147,483,648'),
    'duplicates': (['--duplicates', 'first'], "'raise', 'last'"),
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
    assert 'no size of that name: use 100k, 1m, 10m, 20m, 25m, 32m, latest-small' in refused('compare', '--data', '2m')
    (tmp_path/'ml-1m.zip').write_bytes(b'not a zip')
    for command in ('compare', 'data'):
        assert 'not a zip file, or is incomplete' in refused(command, '--data', tmp_path/'ml-1m.zip')
    (tmp_path/'r.csv').write_text(GOOD)
    assert 'not a zip file' in refused('data', '--data', tmp_path/'r.csv')
    assert 'u.data is missing' in refused('compare', '--data', tmp_path)
    assert 'u.data is missing' in refused('data', '--data', tmp_path)
    (tmp_path/'r.parquet').write_bytes(b'not parquet')
    assert 'parquet' in refused('compare', '--data', tmp_path/'r.parquet')


rows = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.sampled_from(['1', '2', '3', '4', '5'])),
                min_size=2, max_size=20, unique_by=lambda r: r[:2])
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
    """No text that is given to an option ends in a traceback.
    (A model that does not exist keeps the good ones from training.)"""
    (tmp_path/'r.csv').write_text(GOOD)
    args = [option, text] if option != '--out' else [option, f'{tmp_path}/{text}']
    refused('compare', '--data', tmp_path/'r.csv', '--out', tmp_path/'out', *args,
            *([] if option == '--models' and text not in ('dot',) else ['--models', 'none']))


@pytest.mark.slow(12)
def test_whole_command(tmp_path, monkeypatch):
    "In a process of its own: table and files. A second time nothing is trained."
    (tmp_path/'r.csv').write_text(GOOD)
    args = ['compare', '--data', 'r.csv', '--models', 'dot_ce,dot', '--epochs', '1', '--folds', 'random:0,time',
            '--seeds', '0,1', '--out', 'out']
    done = subprocess.run([sys.executable, '-c', 'from movielens_ce.use.cli import main; main()', *args], cwd=tmp_path,
                          env=own_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = pd.read_csv(tmp_path/'out/results.csv')
    assert results.columns[:18].tolist() == ['model', 'score', 'inputs', 'loss', 'head', 'fitted', 'fold', 'seed',
                                             'n_test', 'rmse', 'mae', 'accuracy', 'rounded_accuracy', 'rounded_mse',
                                             'normalized_rmse', 'normalized_accuracy', 'quadratic_kappa',
                                             'nll'] and 'train_seconds' in results
    assert len(results) == 8 and results[['rmse', 'nll', 'train_seconds']].notna().all(axis=None)
    assert {p.name for p in (tmp_path/'out').glob('*.png')} == {'confusion_dot.png', 'confusion_dot_ce.png',
                                                                'distribution.png', 'training_curves.png'}
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


@pytest.fixture(scope='module')
def little_movielens(tmp_path_factory):
    "144 made-up ratings in the layout of a size that changes over time, zipped as GroupLens does; returns the file."
    file = tmp_path_factory.mktemp('little')/'ml.zip'
    ratings = ''.join(f'{u},{10*i},{(u*i % 10 + 1)/2},{880_000_000 + u*1000 + i}\n' for u in range(12)
                      for i in range(12))
    films = ''.join(f'{10*i},"Film, The {i} (1995)",Drama\n' for i in range(12))
    with zipfile.ZipFile(file, 'w') as z:
        z.writestr('ml-latest-small/ratings.csv', f'userId,movieId,rating,timestamp\n{ratings}')
        z.writestr('ml-latest-small/movies.csv', f'movieId,title,genres\n{films}')
    return file


def test_a_zip_of_grouplens_s_is_data(little_movielens, tmp_path):
    "By its path to all commands; its folds are random ones unless they are named."
    status, out, err = run('data', '--data', little_movielens)
    assert not status and '144 ratings from 0.5 to 5 by 12 users of 12 items (12 titles)' in out
    assert 'MovieLens-latest-small in' in out
    status, out, err = run('compare', '--data', little_movielens, '--models', 'dot', '--epochs', 1, '--jobs', 1,
                           '--out', tmp_path/'out')
    assert not status and 'MovieLens-latest-small, folds random:0, seeds 0' in out, err
    status, out, err = run('train', '--data', little_movielens, '--model', 'ordinal', '--epochs', 1, '--out',
                           tmp_path/'model')
    assert not status and 'ordinal for 12 users and 12 items' in out, err
    (tmp_path/'mine.csv').write_text('item,rating\n10,5\n')
    assert run('recommend', '--model', tmp_path/'model', '--ratings', tmp_path/'mine.csv', '-n',
               2)[1].count('Film, The ') == 2
    similar = run('similar', '--model', tmp_path/'model', '--item', 50, '-n', 3, '--json')
    assert all(o['title'] == f'Film, The {o["item"]//10} (1995)' for o in json.loads(similar[1]))
    status, out, err = run('evaluate', '--model', tmp_path/'model', '--data', little_movielens, '--json')
    assert not status and json.loads(out)['unknown_users'] == 0


def test_a_size_is_data(little_movielens, tmp_path, monkeypatch):
    "By its name; looked for where the variable says. What is there is fetched from nowhere."
    monkeypatch.setenv('MOVIELENS_CE_DATA', str(little_movielens))
    status, out, err = run('train', '--data', 'latest-small', '--model', 'dot', '--epochs', 1, '--out',
                           tmp_path/'model')
    assert not status and 'dot for 12 users' in out and err == '', err
    assert 'not MovieLens-1M, ratings.dat is missing; it looks like MovieLens-latest-small' in refused('compare',
                                                                                                       '--data', '1m')
    monkeypatch.setenv('MOVIELENS_CE_DATA', '')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert '`movielens-ce compare --data 25m` fetches it' in refused('data', '--data', '25m')


def test_help_and_version():
    assert run('--version')[0] == 0 and 'compare' in run('--help')[1] and '--folds' in run('compare', '--help')[1]


def test_help_lists_the_registry():
    from movielens_ce.compare.entries import DEFAULT_MODELS, MODELS
    words = run('compare', '--help')[1].split()
    assert set(MODELS) <= set(words)
    assert [w.strip(',') for w in words[words.index('Default:') + 1:words.index('Example:')]] == list(DEFAULT_MODELS)


def test_the_last_of_repeated_ratings_can_be_kept(tmp_path):
    (tmp_path/'r.csv').write_text(GOOD + '0,0,5,99\n')
    args = ['compare', '--data', tmp_path/'r.csv', '--out', tmp_path/'out', '--models', 'dot', '--epochs', '1',
            '--jobs', '1']
    assert 'repeat a (user, item) pair' in refused(*args)
    status, out, err = run(*args, '--duplicates', 'last')
    assert status == 0, err
    # a fifth of 144, not of 145 ratings
    assert pd.read_csv(tmp_path/'out/results.csv').n_test.tolist() == [29]


def test_debug_shows_the_traceback(tmp_path, monkeypatch):
    from movielens_ce.compare import experiment
    def bug(*args): raise ValueError('a bug of ours')
    monkeypatch.setattr(experiment, 'iter_runs', bug)
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
    assert "not 'yesterday'" in refused('compare', '--data', tmp_path/'r.csv', '--models', 'dot,ordinal', '--out',
                                        tmp_path/'out')
    assert not list((tmp_path/'out').rglob('*.npz'))


# Whole files, of any ids, ratings and times

IDS = [st.integers(0, 6).map(str)]*3 + [
    st.just('7'), st.integers(-2**70, 2**70).map(str), st.floats(allow_nan=False).map(repr),
    st.text(st.characters(blacklist_categories=['Cs'], blacklist_characters='\0'), max_size=5),
    st.sampled_from(['1', '1.0', '01', 'x', ' ', 'ü', '1e3', 'nan', 'True', '-0'])]
LEVELS = [list('12345')]*4 + [['0.5', '1.5', '5'], ['3'], ['-1e9', '1e9'], ['0', '1e-300'], ['-1e300', '0', '1e300'],
                              ['1', '1.0000000001']]
TIMES = [st.integers(0, 99).map(str), st.integers(-2**63, 2**63).map(str), st.sampled_from(['1e30', '-1e30', '0']),
         st.sampled_from(['', '5', 'inf', '1970-01-01', 'True', '1e19'])]


@st.composite
def files(draw):
    "The text of a file of ratings: user, item, rating, and times or none."
    columns = dict(user=draw(st.sampled_from(IDS)), item=draw(st.sampled_from(IDS)),
                   rating=st.sampled_from(draw(st.sampled_from(LEVELS))))
    if draw(st.booleans()): columns['timestamp'] = draw(st.sampled_from(TIMES))
    rows = draw(st.lists(st.tuples(*columns.values()), min_size=draw(st.sampled_from([2, 12])), max_size=20))
    return pd.DataFrame(rows, columns=[*columns]).to_csv(index=False)


def ends_well(*args):
    """Whether the command did what it should. Else it said in one line why not, with status 2.
    A warning of NumPy would be more than one line."""
    with warnings.catch_warnings():
        warnings.simplefilter('error', RuntimeWarning)
        status, out, err = run(*args)
    assert status in (0, None) or (status == 2 and out == '' and err.count('\n') == 1
                                   and err.startswith('movielens-ce: ')), (status, out, err)
    return status != 2


any_file = given(text=files(), model=st.sampled_from(['dot', 'ordinal', 'nn', 'fastai_dot']),
                 duplicates=st.sampled_from(['last', 'last', 'raise']), data=st.data())
whole_files = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow(6)
@settings(whole_files, max_examples=40)
@any_file
def test_train_on_any_file(text, model, duplicates, data, tmp_path_factory):
    from movielens_ce.use.storage import load_model
    folder = tmp_path_factory.mktemp('any')
    (folder/'r.csv').write_text(text, encoding='utf-8')
    of_file = ['--data', folder/'r.csv', '--duplicates', duplicates]
    if not ends_well('train', '--model', model, '--epochs', 1, '--out', folder/'m', *of_file):
        assert os.listdir(folder) == ['r.csv']
    else:
        assert sorted(os.listdir(folder)) == ['m', 'r.csv']
        rec = load_model(folder/'m')
        best = rec.top_n(3)
        assert np.isfinite(best.score).all() and np.isfinite(rec.predict(best).rating).all()
        assert ends_well('recommend', '--model', folder/'m', f'--user={rec.users[-1]}')
        assert ends_well('evaluate', '--model', folder/'m', *of_file)
        assert ends_well('similar', '--model', folder/'m', f'--item={rec.items[-1]}')
        if not model.startswith('fastai'):
            pd.DataFrame(dict(item=rec.items, rating=rec.scale.low)).to_csv(folder/'mine.csv', index=False)
            assert ends_well('recommend', '--model', folder/'m', '--ratings', folder/'mine.csv')
    shutil.rmtree(folder)


@pytest.mark.slow(12)
@settings(whole_files, max_examples=30)
@any_file
def test_compare_on_any_file(text, model, duplicates, data, tmp_path_factory):
    folder, fold = tmp_path_factory.mktemp('any'), data.draw(st.sampled_from(['random:0', '1', 'time', 'ua']))
    (folder/'r.csv').write_text(text, encoding='utf-8')
    args = ['compare', '--models', model, '--folds', fold, '--epochs', 1, '--jobs', 1, '--data', folder/'r.csv',
            '--duplicates', duplicates, '--out', folder/'out']
    if not ends_well(*args): assert os.listdir(folder) == ['r.csv']
    else:
        results = pd.read_csv(folder/'out/results.csv')
        assert len(results) == 1 and np.isfinite(results[['rmse', 'mae', 'nll', 'accuracy']]).all(axis=None)
        assert not [p for p in folder.rglob('.*')]
    shutil.rmtree(folder)


BAD_FOLDS = {'ua': (7, 'fold ua of these 7 ratings has no training rows'),
             '1': (2, 'fold 1 of these 2 ratings has no test rows'),
             'time': (9, "'1/1/2001' in column timestamp is not a time"), 'random:0': (4, 'too few')}


@pytest.mark.parametrize('fold', BAD_FOLDS)
def test_a_fold_that_cannot_be_is_refused_before_any_training(fold, tmp_path):
    n, words = BAD_FOLDS[fold]
    (tmp_path/'r.csv').write_text('user,item,rating,timestamp\n'
                                  + ''.join(f'{i},1,{i % 5 + 1},{i + 1}/1/2001\n' for i in range(n)))
    assert words in refused('compare', '--data', tmp_path/'r.csv', '--models', 'dot', '--folds', fold, '--out',
                            tmp_path/'out')
    assert not (tmp_path/'out').exists()


# A saved model: train, recommend, similar, evaluate

TITLES = {10: 'Ten [bold]', 11: 'Zwölf, "quoted"'}


def own_ratings(folder, name='r.csv', ids=int, rename=None, **columns):
    "144 ratings of 12 users and 12 items with times, as a file; returns its path."
    pairs = pd.DataFrame([(u, i) for u in range(12) for i in range(12)], columns=['user', 'item'])
    frame = pairs.assign(rating=(pairs.user*pairs['item']) % 5 + 1,
                         timestamp=880_000_000 + pairs.user*1000 + pairs['item'], title=pairs['item'].map(TITLES))
    frame['user'], frame['item'] = frame.user.map(ids), frame['item'].map(ids)
    frame.assign(**columns).rename(columns=rename or {}).to_csv(folder/name, index=False)
    return folder/name


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    "A folder with ratings and two saved models, one of each kind; half of the ratings are left for lists."
    folder = tmp_path_factory.mktemp('models')
    file = own_ratings(folder)
    half = pd.read_csv(file).sample(72, random_state=0)
    half.to_csv(folder/'half.csv', index=False)
    for name in ('dot', 'ordinal'):
        status, out, err = run('train', '--model', name, '--data', folder/'half.csv', '--epochs', 2, '--out',
                               folder/name)
        assert not status and err == '', err
        assert f'{name} for 12 users and {half["item"].nunique()} items is in {folder/name}' in out
        for command in ('recommend', 'similar', 'evaluate'):
            assert f'movielens-ce {command} --model {folder/name} --' in out
    return folder


@pytest.mark.parametrize('name', ['dot', 'ordinal'])
def test_what_train_saves(name, models):
    from movielens_ce.use.recommender import train_on_all
    from movielens_ce.use.storage import load_model
    rec = load_model(models/name)
    again = train_on_all(name, pd.read_csv(models/'half.csv'), n_epoch=2)
    rows = pd.read_csv(models/'r.csv')
    assert (rec.predictions(rows).probs == again.predictions(rows).probs).all()
    assert rec.titles == TITLES and rec.name == name and rec.settings['n_epoch'] == 2


@pytest.mark.parametrize('by', ['mean', 'top'])
@pytest.mark.parametrize('name', ['dot', 'ordinal'])
def test_recommend(name, by, models):
    from movielens_ce.use.storage import load_model
    best = load_model(models/name).top_n(3, users=4, by=by).drop(columns='user')
    status, out, err = run('recommend', '--model', models/name, '--user', '4', '-n', 3, '--by', by, '--json')
    assert not status and err == ''
    listed = pd.DataFrame(json.loads(out))
    assert listed['item'].tolist() == best['item'].tolist() and listed.title.isna().sum() == best.title.isna().sum()
    assert listed.score.tolist() == pytest.approx(best.score.tolist())
    table = run('recommend', '--model', models/name, '--user', '4', '-n', 3, '--by', by)[1].splitlines()
    assert table[0].split() == ['item', 'title', 'rank', 'score'] and len(table) == 4
    assert [line.split()[0] for line in table[1:]] == best['item'].astype(str).tolist()


def test_titles_are_shown_as_they_are(models):
    out = run('similar', '--model', models/'dot', '--item', 3, '-n', 20)[1]
    assert 'Ten [bold]' in out and 'Zwölf, "quoted"' in out


@pytest.mark.parametrize('name', ['dot', 'ordinal'])
def test_recommend_for_somebody_new(name, models, tmp_path):
    from movielens_ce.use.storage import load_model
    rec = load_model(models/name)
    mine = {rec.items[0]: 5, rec.items[1]: 1}
    (tmp_path/'mine.csv').write_text('item,rating\n' + ''.join(f'{i},{r}\n' for i, r in mine.items()) + 'unheard,3\n')
    status, out, err = run('recommend', '--model', models/name, '--ratings', tmp_path/'mine.csv', '-n', 3, '--json')
    assert not status and err == 'movielens-ce: the model does not know 1 of 3 items\n'
    best, want = pd.DataFrame(json.loads(out)), rec.fold_in(mine).top_n(3)
    assert best['item'].tolist() == want['item'].tolist()
    assert best.score.tolist() == pytest.approx(want.score.tolist(), rel=1e-4)
    assert not set(best['item']) & set(mine)


def test_recommend_what_is_rated_often(models):
    n = pd.read_csv(models/'half.csv').groupby('item').size()
    def items(*more):
        return [o['item'] for o in json.loads(run('recommend', '--model', models/'dot', '--user', 4, '-n', 12, *more,
                                                  '--json')[1])]
    k = int(n[items()].median()) + 1
    assert 0 < len(items('--min-ratings', k)) < len(items())
    assert items('--min-ratings', k) == [i for i in items() if n[i] >= k]
    assert items('--min-ratings', 99) == []
    assert '--min-ratings' in refused('recommend', '--model', models/'dot', '--user', 4, '--min-ratings', -1)


def test_recommend_for_all(models, tmp_path):
    from movielens_ce.use.storage import load_model
    status, out, err = run('recommend', '--model', models/'ordinal', '--all', '-n', 2, '--out', tmp_path/'lists.csv')
    assert not status and '12 lists' in out
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path/'lists.csv'), load_model(models/'ordinal').top_n(2),
                                  check_dtype=False, rtol=1e-5)
    run('recommend', '--model', models/'ordinal', '--user', 3, '-n', 2, '--out', tmp_path/'one.csv')
    assert (pd.read_csv(tmp_path/'one.csv').user == 3).all()


def test_lists_are_written_whole_or_not_at_all(models, tmp_path, monkeypatch):
    (tmp_path/'lists.csv').write_text('mine')
    def full(*args, **kwargs): raise OSError(28, 'No space left on device')
    monkeypatch.setattr(pd.DataFrame, 'to_csv', full)
    assert 'No space left' in refused('recommend', '--model', models/'dot', '--all', '--out', tmp_path/'lists.csv')
    assert [p.read_text() for p in tmp_path.iterdir()] == ['mine']


def test_similar(models):
    from movielens_ce.use.storage import load_model
    status, out, err = run('similar', '--model', models/'ordinal', '--item', 10, '-n', 4, '--json')
    assert not status
    assert [o['item'] for o in json.loads(out)] == load_model(models/'ordinal').similar_items(10, 4)['item'].tolist()


def test_an_item_may_be_its_title(models, tmp_path):
    by_id, by_title = (run('similar', '--model', models/'ordinal', '--item', item, '-n', 4)[1]
                       for item in (10, 'Ten [bold]'))
    assert by_id == by_title and by_id
    assert refused('similar', '--model', models/'ordinal', '--item',
                   'ten bold') == "movielens-ce: unknown item 'ten bold': did you mean 'Ten [bold]'?\n"
    assert "did you mean 'Zwölf, \"quoted\"'?" in refused('similar', '--model', models/'ordinal', '--item',
                                                          'Zwölf, quoted')
    for item, name in ((10, 'ids.csv'), ('Ten [bold]', 'titles.csv')):
        pd.DataFrame(dict(film=[item, 3], rating=[5, 1])).to_csv(tmp_path/name, index=False)
    ids, titles = (run('recommend', '--model', models/'ordinal', '--ratings', tmp_path/name, '--item', 'film', '-n', 3)
                   for name in ('ids.csv', 'titles.csv'))
    assert ids == titles and not ids[0] and not ids[2]


def test_evaluate(models, tmp_path):
    from movielens_ce.scoring.metrics import METRICS
    from movielens_ce.use.storage import load_model
    rows = pd.read_csv(models/'r.csv')
    for name in ('dot', 'ordinal'):
        status, out, err = run('evaluate', '--model', models/name, '--data', models/'r.csv', '--json')
        said = json.loads(out)
        assert not status and err.count('\n') == 1 and 'was trained on 72 of these 144 ratings' in err
        assert said['trained_on'] == 72
        assert said.keys() == {'n', 'trained_on', 'unknown_users', 'unknown_items', *METRICS}
        expected = score(load_model(models/name).predictions(rows))
        assert {m: said[m] for m in METRICS} == pytest.approx(expected) and said['n'] == 144
        table = run('evaluate', '--model', models/name, '--data', models/'r.csv')[1]
        assert '144 ratings of r.csv' in table and all(m.heading in table for m in METRICS.values())
    strange = own_ratings(tmp_path, user=lambda o: o.user.where(o.user < 9, 'new'),
                          item=lambda o: o['item'].where(o['item'] != 5, 'also new'))
    said = json.loads(run('evaluate', '--model', models/'dot', '--data', strange, '--json', '--duplicates', 'last')[1])
    assert said['n'] == 120 and said['unknown_users'] == 12 and said['unknown_items'] == 10
    one = own_ratings(tmp_path, 'one.csv', rating=4)
    assert json.loads(run('evaluate', '--model', models/'dot', '--data', one, '--json')[1])['rmse'] >= 0


def test_evaluate_says_on_which_ratings_a_model_was_trained(models, tmp_path, ml):
    "And takes the ratings that are the default only for a model that was trained on them."
    rows, half = pd.read_csv(models/'r.csv'), pd.read_csv(models/'half.csv')
    new = rows.merge(half[['user', 'item']], how='left',
                     indicator=True).query('_merge == "left_only"').drop(columns='_merge')
    new.to_csv(tmp_path/'new.csv', index=False)
    status, out, err = run('evaluate', '--model', models/'dot', '--data', tmp_path/'new.csv', '--json')
    assert not status and err == '' and json.loads(out)['trained_on'] == 0
    for name in ('dot', 'ordinal'):
        assert 'name the ratings with --data FILE' in refused('evaluate', '--model', models/name)
    status, out, err = run('train', '--model', 'dot', '--data', ml.path, '--epochs', 1, '--out', tmp_path/'m')
    assert not status, err
    status, out, err = run('evaluate', '--model', tmp_path/'m')
    assert not status and 'was trained on 100,000 of these 100,000 ratings' in err
    assert '100,000 ratings of MovieLens-100K' in out


@pytest.mark.parametrize('encoding', ['cp1252', 'ascii', 'latin-1', 'utf-8'])
def test_titles_that_the_output_cannot_encode(encoding, tmp_path):
    "Every line of a list and of a table is there, whatever the encoding."
    def printed(*args):
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors='strict') for _ in range(2))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as e:
            main([str(a) for a in args])
        for stream in (out, err): stream.flush()
        return e.value.code, out.buffer.getvalue(), err.buffer.getvalue()
    file = own_ratings(tmp_path, 'Фильмы.csv', title=lambda o: 'Фильм ' + o['item'].astype(str) + ' – 映画')
    assert printed('train', '--model', 'dot', '--data', file, '--epochs', 1, '--out', tmp_path/'m')[0] == 0
    for args, lines in ((['recommend', '--user', '3', '-n', 5], 1), (['similar', '--item', 3, '-n', 5], 6)):
        status, out, err = printed(*args, '--model', tmp_path/'m')
        assert status == 0 and len(out.splitlines()) == lines and err == b''
        # click writes UTF-8 where it is told ASCII
        if lines > 1: assert (b'\xd0\xa4' in out) == (encoding == 'utf-8') or encoding == 'ascii'
    status, out, err = printed('compare', '--models', 'dot', '--epochs', 1, '--jobs', 1, '--data', file, '--out',
                               tmp_path/'о')
    assert status == 0 and b'RMSE' in out and out.rstrip().endswith(b'of the repository')
    status, out, err = printed('recommend', '--user', '中', '--model', tmp_path/'m')
    assert status == 2 and out == b'' and err.startswith(b'movielens-ce: unknown user') and err.count(b'\n') == 1


def test_paths_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    "A shell expands ~/m, but not --out=~/m."
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('USERPROFILE', str(tmp_path))
    own_ratings(tmp_path)
    (tmp_path/'mine.csv').write_text('item,rating\n3,5\n')
    for args in (['train', '--model', 'dot', '--data=~/r.csv', '--epochs', 1, '--out=~/m'],
                 ['recommend', '--model=~/m', '--ratings=~/mine.csv', '--out=~/l.csv'],
                 ['similar', '--model=~/m', '--item', 3], ['evaluate', '--model=~/m', '--data=~/r.csv'],
                 ['compare', '--models', 'dot', '--epochs', 1, '--jobs', 1, '--data=~/r.csv', '--out=~/o']):
        status, out, err = run(*args)
        assert not status, err
    assert {'m', 'l.csv', 'o'} <= {p.name for p in tmp_path.iterdir()} and not os.path.exists('~')


def test_what_train_would_refuse_at_its_end_it_refuses_before(tmp_path, monkeypatch):
    from movielens_ce.use import recommender
    def never(*args, **kwargs): raise AssertionError('trained')
    monkeypatch.setattr(recommender, 'fit', never)
    monkeypatch.chdir(tmp_path)
    few = [(u, i, (u + i) % 5 + 1) for u in range(2) for i in range(2)]
    pd.DataFrame(few, columns=['user', 'item', 'rating']).to_csv('few.csv', index=False)
    assert 'too few' in refused('train', '--model', 'dot', '--data', 'few.csv', '--out', 'm')
    file = own_ratings(tmp_path)
    os.symlink('nowhere/deeper', 'dangling')
    os.symlink(file, 'to_a_file')
    os.symlink('loop', 'loop')
    for out, words in {'to_a_file': 'is a file', 'loop': 'cannot write a model into loop', 'r.csv/m': 'cannot write',
                       'to_a_file/m': 'cannot write'}.items():
        assert words in refused('train', '--model', 'dot', '--data', 'r.csv', '--out', out)
    with pytest.raises(AssertionError, match='trained'):
        run('train', '--model', 'dot', '--data', 'r.csv', '--out', 'dangling')
    monkeypatch.setattr(pd, 'read_parquet',
                        lambda path: pd.read_csv(file).assign(user=lambda f: pd.to_datetime(f.user)))
    (tmp_path/'dates.parquet').write_bytes(b'PAR1')
    assert 'cannot be saved: use numbers or text' in refused('train', '--model', 'dot', '--data', 'dates.parquet',
                                                             '--out', 'm')
    assert not (tmp_path/'m').exists()


def test_a_full_disk_is_named(models, tmp_path, monkeypatch):
    from movielens_ce.compare import experiment
    def full(*args, **kwargs): raise OSError(28, 'No space left on device')
    with monkeypatch.context() as m:
        m.setattr(pd.DataFrame, 'to_csv', full)
        assert refused('recommend', '--model', models/'dot', '--all', '--out',
                       tmp_path/'lists.csv') == f'movielens-ce: No space left on device: {tmp_path/"lists.csv"}\n'
    with monkeypatch.context() as m:
        m.setattr(Path, 'write_bytes', full)
        assert refused('train', '--model', 'dot', '--epochs', 1, '--data', models/'r.csv', '--out',
                       tmp_path/'m') == f'movielens-ce: No space left on device: {tmp_path/"m"}\n'
    with monkeypatch.context() as m:
        m.setattr(np, 'savez_compressed', full)
        status, out, err = run('compare', '--models', 'dot', '--epochs', 1, '--jobs', 1, '--data', models/'r.csv',
                               '--out', tmp_path/'o')
        assert status == 2 and err.splitlines()[-1].startswith(f'movielens-ce: No space left on device: {tmp_path/"o"}')
    def short(*args, **kwargs): raise MemoryError()
    monkeypatch.setattr(experiment, 'iter_runs', short)
    assert refused('compare', '--data', models/'r.csv', '--out', tmp_path/'p') == 'movielens-ce: memory is short\n'


def test_lists_go_through_a_link_and_into_a_device(models, tmp_path):
    (tmp_path/'there').mkdir()
    (tmp_path/'there'/'lists.csv').write_text('old')
    os.symlink('there/lists.csv', tmp_path/'link.csv')
    assert not run('recommend', '--model', models/'dot', '--all', '--out', tmp_path/'link.csv')[0]
    assert (tmp_path/'link.csv').is_symlink() and len(pd.read_csv(tmp_path/'there'/'lists.csv')) > 12
    assert not run('recommend', '--model', models/'dot', '--all', '--out', '/dev/null')[0]
    assert not os.path.isfile('/dev/null')


FAR = 'user,item,rating\n' + ''.join(f'{u},{i},{(u*i) % 5 + 1}\n' for u in range(300) for i in range(u % 7, 300, 7))


@pytest.mark.slow(25)
@pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='the processes are read from /proc')
@pytest.mark.parametrize('number, status, says', [(signal.SIGTERM, 143, 'stopped; run the same command again'),
                                                  (signal.SIGKILL, 2,
                                                   'a process was killed, perhaps because memory is short')])
def test_processes_of_compare_end_with_it(number, status, says, tmp_path):
    """SIGTERM to the command, as from `docker stop`;
    and SIGKILL to one of its processes, as from a kernel that is short of memory."""
    (tmp_path/'r.csv').write_text(FAR)
    args = ['compare', '--data', 'r.csv', '--models', 'dot', '--epochs', '200', '--jobs', '2', '--seeds', '0,1,2',
            '--out', 'o']
    command = subprocess.Popen([sys.executable, '-m', 'movielens_ce', *args], cwd=tmp_path, env=own_environment(),
                               stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    def children():
        def of(stat): return stat.rpartition(')')[2].split()[1]
        found = []
        for p in Path('/proc').glob('[0-9]*'):
            with contextlib.suppress(OSError):
                if of((p/'stat').read_text()) == str(command.pid) and b'LokyProcess' in (p/'cmdline').read_bytes():
                    found.append(int(p.name))
        return found
    try:
        start = time.monotonic()
        while len(kids := children()) < 2 and time.monotonic() < start + 120: time.sleep(.2)
        time.sleep(1)
        os.kill(command.pid if number == signal.SIGTERM else kids[0], number)
        out, err = command.communicate(timeout=60)
        assert (command.returncode, out) == (status, '') and says in err.splitlines()[-1], err
        assert 'Traceback' not in err
        until = time.monotonic() + 10
        while any(os.path.exists(f'/proc/{k}') for k in kids) and time.monotonic() < until: time.sleep(.2)
        assert not [k for k in kids if os.path.exists(f'/proc/{k}')]
    finally: command.kill()


def test_ids_are_matched_as_they_are_written(tmp_path):
    "Text, whole numbers, numbers with a point: on the command line all are text."
    for name, ids, user, item in (('text', lambda i: f'ü {i}', 'ü 3', 'ü 5'),
                                  ('points', lambda i: i + .5, '3.5', '5.5'), ('whole', int, '3', '5')):
        file = own_ratings(tmp_path, f'{name}.csv', ids)
        assert not run('train', '--model', 'dot', '--data', file, '--epochs', 1, '--out', tmp_path/name)[0]
        assert json.loads(run('similar', '--model', tmp_path/name, '--item', item, '--json')[1])
        assert not run('recommend', '--model', tmp_path/name, '--user', user)[0]
        assert 'unknown user' in refused('recommend', '--model', tmp_path/name, '--user', '77')
        said = json.loads(run('evaluate', '--model', tmp_path/name, '--data', file, '--json')[1])
        assert said['unknown_users'] == said['unknown_items'] == 0
    # pandas reads 1 … 11 as text, too
    mixed = own_ratings(tmp_path, 'mixed.csv', user=lambda o: o.user.astype(object).where(o.user != 0, 'zero'))
    said = json.loads(run('evaluate', '--model', tmp_path/'whole', '--data', mixed, '--json')[1])
    assert said['unknown_users'] == 12


BAD_QUESTIONS = {
    'somebody and user': (['recommend', '--model', 'dot', '--user', '3', '--ratings', 'r.csv'], '--ratings FILE'),
    'no such ratings': (['recommend', '--model', 'dot', '--ratings', 'none.csv'], 'none.csv: there is no such file'),
    'nothing known': (['recommend', '--model', 'dot', '--ratings', 'other.csv'],
                      'other.csv: the model knows none of these items'),
    'no column': (['recommend', '--model', 'dot', '--ratings', 'films.csv'],
                  "films.csv: no column 'item' for item: name one of film, rating"),
    'an item twice': (['recommend', '--model', 'dot', '--ratings', 'r.csv'], 'repeat'),
    'off the scale': (['recommend', '--model', 'dot', '--ratings', 'seven.csv'], 'rating 7 is not on the scale'),
    'no user': (['recommend', '--model', 'dot'], '--user ID'),
    'user and all': (['recommend', '--model', 'dot', '--user', '3', '--all'], '--user ID'),
    'all to nowhere': (['recommend', '--model', 'dot', '--all'], '--out lists.csv'),
    'json file': (['recommend', '--model', 'dot', '--user', '3', '--json', '--out', 'x.csv'], 'leave one'),
    'unknown user': (['recommend', '--model', 'dot', '--user', 'x'],
                     "unknown user 'x': the model has 12 users, such as 0"),
                     'no items': (['recommend', '--model', 'dot', '--user', '3', '-n', '0'], '-n'),
    'by': (['recommend', '--model', 'dot', '--user', '3', '--by', 'luck'], 'luck'),
    'out is a folder': (['recommend', '--model', 'dot', '--all', '--out', '.'], ''),
    'unknown item': (['similar', '--model', 'dot', '--item', '3e400'], "unknown item '3e400'"),
    'no item': (['similar', '--model', 'dot'], '--item'), 'no model': (['similar', '--item', '3'], '--model'),
    'nowhere': (['recommend', '--model', 'nothing', '--user', '3'], 'nothing is no saved model'),
    'a file': (['recommend', '--model', 'r.csv', '--user', '3'], 'no saved model'),
    'another folder': (['similar', '--model', '.', '--item', '3'], 'no model.json'),
    'no such file': (['evaluate', '--model', 'dot', '--data', 'none.csv'], 'no such folder'),
    'other scale': (['evaluate', '--model', 'dot', '--data', 'six.csv'], 'six.csv: rating 6 is not on the scale'),
    'column': (['evaluate', '--model', 'dot', '--data', 'r.csv', '--rating', 'stars'], "no column 'stars'"),
    'time column': (['evaluate', '--model', 'dot', '--data', 'r.csv', '--timestamp', 'when'],
                    "no column 'when' for timestamp: name one of timestamp, title"),
    'times of users': (['evaluate', '--model', 'dot', '--data', 'r.csv', '--timestamp', 'user'],
                       "no column 'user' for timestamp"),
    'text times': (['evaluate', '--model', 'ordinal', '--data', 'r.csv', '--timestamp', 'title'],
                   'must hold times in seconds'),
    'unknown entry': (['train', '--model', 'svd', '--out', 'new', '--data', 'r.csv'], "unknown model 'svd': use dot"),
    'no out': (['train', '--model', 'dot'], '--out'),
    'full out': (['train', '--model', 'dot', '--data', 'r.csv', '--out', '.'], 'other files'),
    'file out': (['train', '--model', 'dot', '--data', 'r.csv', '--out', 'r.csv'], 'is a file'),
    'below a file': (['train', '--model', 'dot', '--data', 'r.csv', '--out', 'r.csv/m'], 'r.csv'),
    'negative seed': (['train', '--model', 'dot', '--data', 'r.csv', '--out', 'new', '--seed', '-1'], '--seed'),
    'off the levels': (['train', '--model', 'dot', '--data', 'r.csv', '--out', 'new', '--levels', '1,2'],
                       'not on the scale'), 'no epochs': (['train', '--model', 'dot', '--out', 'new', '--epochs', '0'],
                                                          '--epochs'),
    'train text times': (['train', '--model', 'ordinal', '--data', 'r.csv', '--out', 'new', '--timestamp', 'title'],
                         'must hold times in seconds'),
    'compare time column': (['compare', '--models', 'dot', '--data', 'r.csv', '--out', 'new', '--timestamp', 'when'],
                            "no column 'when'"),
}


@pytest.mark.parametrize('name', BAD_QUESTIONS)
def test_bad_questions(name, models, monkeypatch):
    monkeypatch.chdir(models)
    own_ratings(models, 'six.csv', rating=6)
    for file, text in {'other.csv': 'item,rating\nx,3\n', 'films.csv': 'film,rating\n3,3\n',
                       'seven.csv': 'item,rating\n3,7\n'}.items(): (models/file).write_text(text)
    before = sorted(p.name for p in models.iterdir())
    args, words = BAD_QUESTIONS[name]
    assert words in refused(*args)
    assert sorted(p.name for p in models.iterdir()) == before


def test_a_damaged_model_is_one_line(models, tmp_path):
    shutil.copytree(models/'dot', tmp_path/'m')
    data = (tmp_path/'m'/'model.safetensors').read_bytes()
    (tmp_path/'m'/'model.safetensors').write_bytes(data[:len(data)//2])
    for args in (['recommend', '--user', 3], ['similar', '--item', 3], ['evaluate', '--data', models/'r.csv']):
        assert 'damaged' in refused(*args, '--model', tmp_path/'m')


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(option=st.sampled_from(['--user', '--item', '--by', '-n', '--out', '--timestamp']),
       text=st.text(st.characters(blacklist_categories=['Cs']), max_size=8))
def test_generated_bad_questions(option, text, models, tmp_path):
    "Whatever text is given: an answer, or one line and status 2."
    command = dict([('--item', 'similar'), ('--timestamp', 'evaluate')]).get(option, 'recommend')
    args = [option, text] if option != '--out' else [option, f'{tmp_path}/{text}']
    more = dict(recommend=['--user', 3]*(option != '--user'), evaluate=['--data', models/'r.csv']).get(command, [])
    status, out, err = run(command, '--model', models/'dot', *args, *more)
    answered, refused = status in (0, None) and out and not err, status == 2 and not out and err.count('\n') == 1
    assert answered or refused, (status, out, err)


def test_times_under_another_name(tmp_path):
    "A time column that is called something else makes `ordinal` what it is, not what it is without times."
    from movielens_ce.use.storage import load_model
    plain, renamed = own_ratings(tmp_path), own_ratings(tmp_path, 'when.csv', rename=dict(timestamp='when'))
    own_ratings(tmp_path, 'both.csv', when=lambda o: o.timestamp, timestamp=3)
    base = ['train', '--model', 'ordinal', '--epochs', 1, '--data']
    for out, args in dict(plain=[plain], renamed=[renamed, '--timestamp', 'when'],
                          both=[tmp_path/'both.csv', '--timestamp', 'when'], without=[renamed]).items():
        status, _, err = run(*base, *args, '--out', tmp_path/out)
        assert not status and err.count('\n') == (out == 'without')
        assert ('so ordinal cannot use their times: --timestamp names a column' in err) == (out == 'without'), err
    rows = pd.read_csv(plain)
    probs = {o: load_model(tmp_path/o).predictions(rows).probs for o in ('plain', 'renamed', 'both', 'without')}
    assert (probs['plain'] == probs['renamed']).all() and (probs['plain'] == probs['both']).all()
    assert (probs['plain'] != probs['without']).any()
    scored = [json.loads(run('evaluate', '--model', tmp_path/'plain', '--data', *args, '--json')[1])
              for args in ([plain], [renamed, '--timestamp', 'when'], [renamed])]
    assert scored[0] == scored[1] != scored[2]
    assert 'ordinal cannot use' in run('evaluate', '--model', tmp_path/'plain', '--data', renamed)[2]
    assert 'cannot use' not in run('evaluate', '--model', tmp_path/'without', '--data', renamed)[2]


def test_compare_says_what_models_go_without(tmp_path):
    args = ['compare', '--models', 'dot,ordinal_ids,ordinal', '--epochs', 1, '--jobs', 1, '--folds', 'random:0',
            '--out']
    renamed = own_ratings(tmp_path, rename=dict(timestamp='when'))
    err = run(*args, tmp_path/'a', '--data', renamed)[2]
    assert 'so ordinal cannot use their times' in err
    err = run(*args, tmp_path/'b', '--data', renamed, '--timestamp', 'when')[2]
    assert 'cannot use' not in err
    a, b = (pd.read_csv(tmp_path/f'{o}/results.csv').set_index('model').rmse for o in 'ab')
    assert a['dot'] == b['dot'] and a['ordinal'] != b['ordinal']


def test_compare_says_how_many_are_strangers(tmp_path):
    args = ['compare', '--models', 'dot', '--epochs', 1, '--jobs', 1, '--data', own_ratings(tmp_path), '--out',
            tmp_path/'o', '--folds']
    # the file is sorted by user: rows 0 to 28 are of users 0 and 1 and of five items of user 2
    err = run(*args, '1,random:0')[2]
    assert 'fold 1: 24 of 29 test rows have a user without training rows' in err and 'fold random:0:' not in err


def test_every_help_ends_with_an_example():
    for command in ('compare', 'train', 'recommend', 'similar', 'evaluate'):
        assert run(command,
                   '--help')[1].rstrip().split('\n')[-1].strip().startswith(f'Example: movielens-ce {command} --')
    assert 'strangers' in run('compare', '--help')[1] and 'u1 to u5' in run('compare', '--help')[1]
    assert '--model)' in run('train', '--help')[1] and 'Default:' not in run('train', '--help')[1]
