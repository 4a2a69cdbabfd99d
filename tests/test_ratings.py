"""Files and frames of ratings:
every id comes back as it was written, from every format, through a saved model and through the command."""
import gzip
import io
import json
import re
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_cli import own_ratings, refused, run

from movielens_ce.data.context import TimeContext
from movielens_ce.data.files import READERS, open_file, read_table, reader
from movielens_ce.data.ids import vocabulary
from movielens_ce.data.loaders import rating_dls
from movielens_ce.data.ratings import load_ratings
from movielens_ce.data.splits import time_split
from movielens_ce.models.models import DotProductBias
from movielens_ce.use.foldin import fold_in
from movielens_ce.use.recommender import train_on_all
from movielens_ce.use.storage import load_model, save_model

ALIKE = ['3', '03', '003', '+3', '3.0', '3e0', ' 3', '3 ', '-3', '-0', '0', '00', '３', '1_000', '1,5',
         '12345678901234567890', '9223372036854775807',
         '9223372036854775808', '0345451537', '034545104X', 'NA', 'nan', 'NaN', 'null', 'None', '<NA>', 'inf', 'True',
         'false', '2017-12-08', '1/2/2017',
         '#3', '%', 'a,b', 'a;b', 'a|b', 'a\tb', 'a::b', '"', '"a"', "'", 'a\nb', 'a\r\nb', '{"a": 1}', '[3]', 'Zoé',
         '映画', '\u200b', ' ', '\\N']
any_text = st.text(st.characters(blacklist_categories=['Cs'], blacklist_characters='\0\r\ufeff'), min_size=1,
                   max_size=5)
texts = st.lists(st.one_of(st.sampled_from(ALIKE), any_text, st.integers(-2**65, 2**65).map(str)), min_size=1,
                 max_size=8, unique=True)
numbers = st.lists(st.integers(-2**63 + 1, 2**63 - 1), min_size=1, max_size=8, unique=True)
some_ids = st.one_of(texts, numbers)
fast = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def frame_of(users, items):
    "A rating for each user and each item."
    pairs = [(u, i) for u in users for i in items]
    return pd.DataFrame(dict(user=[u for u, _ in pairs], item=[i for _, i in pairs],
                             rating=[k % 5 + 1 for k in range(len(pairs))]))


def zipped(text):
    data = io.BytesIO()
    with zipfile.ZipFile(data, 'w') as z: z.writestr('folder/ratings.csv', text)
    return data.getvalue()


FORMATS = {
    'r.csv': lambda f: f.to_csv(index=False).encode(), 'R.TSV': lambda f: f.to_csv(index=False, sep='\t').encode(),
    'r.dat': lambda f: f.to_csv(index=False, sep='|').encode(),
    'semicolon.csv': lambda f: f.to_csv(index=False, sep=';', quoting=1).encode(),
    'windows.csv': lambda f: f.to_csv(index=False, lineterminator='\r\n').encode('utf-8-sig'),
    'R.CSV.GZ': lambda f: gzip.compress(f.to_csv(index=False).encode()),
    'r.zip': lambda f: zipped(f.to_csv(index=False)), 'index.csv': lambda f: f.to_csv().encode(),
    'wide.csv': lambda f: f.assign(a=1, b='x').to_csv(index=False).encode(),
    'r.jsonl': lambda f: '\n'.join(json.dumps(o, ensure_ascii=False) for o in f.to_dict('records')).encode(),
    'r.json': lambda f: f.to_json(orient='records', force_ascii=False).encode()}


def written(ids): return [str(o) for o in ids]
def is_whole(o):
    return o == '0' or bool(re.fullmatch('-?[1-9][0-9]*', o)) and abs(int(o)) < 2**63


def has_one_type(column, text=False):
    "Whether a column is whole numbers, if each of its ids is the canonical form of one, or else text."
    whole = not text and all(map(is_whole, written(column)))
    return all(isinstance(o, (int, np.integer) if whole else str) for o in column)


@fast
@given(users=some_ids, items=some_ids, form=st.sampled_from([*FORMATS]))
def test_ids_of_a_file_are_what_it_says(users, items, form, tmp_path):
    frame = frame_of(users, items)
    (tmp_path/form).write_bytes(FORMATS[form](frame))
    back = load_ratings(tmp_path/form)
    for c in ('user', 'item'):
        assert written(back[c]) == written(frame[c])
        assert has_one_type(back[c], text='json' in form and isinstance(frame[c].iloc[0], str))
    assert back.rating.tolist() == frame.rating.tolist()


@pytest.mark.parametrize('late', ['guest', '007', '+7', '-0', ' 7', '7 ', '7.0', '99999999999999999999', 'NA'])
def test_one_id_at_the_end_decides_for_the_whole_column(late, tmp_path):
    "Far beyond the first lines, from which the layout is recognized."
    users = [*map(str, range(30_000)), late]
    (tmp_path/'r.csv').write_text('user,item,rating\n' + ''.join(f'{u},1,{k % 5 + 1}\n' for k, u in enumerate(users)))
    assert load_ratings(tmp_path/'r.csv').user.tolist() == users


@fast
@given(users=texts, items=texts)
def test_ids_of_a_headless_file(users, items, tmp_path):
    users, items = ([o for o in ids if o == o.strip() and o[0] not in '{[#%'] or ['a'] for ids in (users, items))
    frame = frame_of(users, items)
    frame.to_csv(tmp_path/'r.csv', index=False, header=False)
    back = load_ratings(tmp_path/'r.csv')
    assert written(back.user) == written(frame.user) and written(back['item']) == written(frame['item'])
    assert len(back.columns) == 3


@settings(fast, max_examples=25)
@given(users=some_ids, items=some_ids)
def test_ids_of_frames(users, items, tmp_path):
    "The types of a frame are kept, whatever package or form it has; a column of both types is text."
    frame = frame_of(users, items)
    for source in (frame, frame.to_dict('list'), [*frame.itertuples(index=False, name=None)], frame.astype(object),
                   frame.astype(dict(user='category')), frame.convert_dtypes()):
        back = load_ratings(source)
        for c in ('user', 'item'): assert back[c].tolist() == frame[c].tolist()
    mixed = load_ratings(frame.assign(user=[o if k % 2 else f'{o}' for k, o in enumerate(frame.user)],
                                      item=range(len(frame))))
    assert written(mixed.user) == written(frame.user) and len({type(o) for o in mixed.user}) == 1


@pytest.mark.parametrize('package', ['polars', 'pyarrow'])
def test_frames_of_other_packages(package, tmp_path):
    found = pytest.importorskip(package)
    frame = frame_of(['03', '3', 'NA'], [1, 2])
    other = found.from_pandas(frame) if package == 'polars' else found.Table.from_pandas(frame)
    assert load_ratings(other).values.tolist() == frame.values.tolist()
    assert rating_dls(other, (range(6), range(6))).train_ds.n_users == 4
    if package == 'pyarrow':
        frame.to_parquet(tmp_path/'R.PARQUET')
        assert load_ratings(tmp_path/'R.PARQUET').values.tolist() == frame.values.tolist()


@settings(fast, max_examples=15)
@given(users=some_ids, items=some_ids)
def test_ids_through_a_saved_model_and_fold_in(users, items, tmp_path):
    "A model knows the ids of its file again, in the same file and in the ratings of somebody new."
    frame_of(users, items).to_csv(tmp_path/'r.csv', index=False)
    ratings = load_ratings(tmp_path/'r.csv')
    dls = rating_dls(ratings, (np.arange(len(ratings)), np.arange(1)), scale=load_scale(), device='cpu')
    save_model(tmp_path/'m', DotProductBias.from_dls(dls, 2), dls, 1.)
    rec = load_model(tmp_path/'m')
    assert sorted(written(rec.users)) == sorted(written(users)) and sorted(written(rec.items)) == sorted(written(items))
    assert (rec.dls.test_dl(load_ratings(tmp_path/'r.csv')).dataset.tensors[0] > 0).all()
    # as text, whatever the model has
    for mine in ({str(o): 5 for o in items}, pd.DataFrame(dict(user='x', item=written(items), rating=5))):
        _, new = fold_in(rec.model, rec.dls, mine, width=1.)
        assert (new.train_ds.tensors[0][:, 1] > 0).all()


def load_scale():
    from movielens_ce.data.scale import RatingScale
    return RatingScale((1, 2, 3, 4, 5))


@pytest.mark.slow(5)
@pytest.mark.parametrize('users, items', [([o for o in ALIKE if o.strip()], ['0345451537', '0061009059', '0971880107']),
                                          ([3, 4, 5], ['NA', 'null', '007']), (['3', '03', 'x'], [7, 8, 9])])
def test_ids_through_the_command(users, items, tmp_path):
    "train, evaluate, a written list, a list for somebody new: the ids are those of the file."
    frame = frame_of(users, items).assign(title='A film')
    frame.to_csv(tmp_path/'r.csv', index=False)
    # each user leaves out the first item
    train = frame[frame.index % len(items) != 0]
    rest = frame.drop(train.index).iloc[:1]
    pd.concat([train, rest]).to_csv(tmp_path/'train.csv', index=False)
    assert not run('train', '--model', 'dot', '--epochs', 1, '--data', tmp_path/'train.csv', '--out', tmp_path/'m')[0]
    # also where the ids of a part look like numbers
    for part in (frame, frame.tail(2)):
        part.to_csv(tmp_path/'part.csv', index=False)
        said = json.loads(run('evaluate', '--model', tmp_path/'m', '--data', tmp_path/'part.csv', '--json')[1])
        assert said['unknown_users'] == said['unknown_items'] == 0 and said['n'] == len(part)
    assert not run('recommend', '--model', tmp_path/'m', '--all', '--out', tmp_path/'lists.csv')[0]
    lists = read_table(tmp_path/'lists.csv')
    assert set(written(lists.user)) == set(written(users[1:])) and set(written(lists['item'])) == {str(items[0])}
    pd.DataFrame(dict(movieId=items[:2], stars=5)).to_csv(tmp_path/'mine.csv', index=False)
    status, out, err = run('recommend', '--model', tmp_path/'m', '--ratings', tmp_path/'mine.csv', '--item', 'movieId',
                           '--rating', 'stars', '--json')
    assert not status and not err and written(o['item'] for o in json.loads(out)) == [str(items[2])]


def test_ratings_of_one_person(tmp_path):
    "Two columns without a header, four, or columns with other names: the same list."
    assert not run('train', '--model', 'dot', '--epochs', 1, '--data', own_ratings(tmp_path), '--out', tmp_path/'m')[0]
    files = {'named.csv': 'item,rating\n3,5\n4,1\n', 'headless.csv': '3,5\n4,1\n',
             'four.csv': '9,3,5,880000000\n9,4,1,880000001\n', 'other.csv': 'movieId,stars\n3,5\n4,1\n'}
    for name, text in files.items(): (tmp_path/name).write_text(text)
    def asked(name, *more): return ['recommend', '--model', tmp_path/'m', '--ratings', tmp_path/name, '--json', *more]
    lists = [run(*asked(name))[1] for name in ('named.csv', 'headless.csv',
                                               'four.csv')] + [run(*asked('other.csv', '--item', 'movieId', '--rating',
                                                                          'stars'))[1]]
    assert len(json.loads(lists[0])) == 10 and lists == lists[:1]*4
    assert "other.csv: no column 'item' for item: name one of movieId, stars\n" in refused(*asked('other.csv'))
    for text, words in {'3,5\n3,4\n': 'repeat', '3,\n4,1\n': "missing in column 'rating'",
                        '3,7\n4,1\n': 'rating 7 is not on the scale'}.items():
        (tmp_path/'bad.csv').write_text(text)
        assert 'bad.csv: ' in (line := refused(*asked('bad.csv'))) and words in line


def test_a_model_answers_for_frames_of_any_kind(made_up):
    rec = train_on_all('dot', made_up, n_epoch=1)
    pairs = made_up[['user', 'item', 'rating']].head(5)
    for other in (pairs.to_dict('list'), pairs.to_dict('records'), pairs.astype('category')):
        pd.testing.assert_frame_equal(rec.predict(other), rec.predict(pairs), check_dtype=False,
                                      check_categorical=False)
        if isinstance(other, dict): continue                                            # which is {item: rating} there
        assert rec.fold_in(other).top_n(3)['item'].tolist() == rec.fold_in(pairs).top_n(3)['item'].tolist()
    with pytest.raises(ValueError, match='a int is not read: give a data frame'): rec.predict(3)


# Columns and layouts

PLAIN = [[3, 7, 4], [20, 8, 5]]
LAYOUTS = {
    'five without a header': '3,7,4,1,0\n20,8,5,2,1\n', 'a comma at the end': 'user,item,rating\n3,7,4,\n20,8,5,\n',
    'and without a header': '3,7,4,\n20,8,5,\n',
    'in the header, too': 'user,item,rating,\n3,7,4,\n20,8,5,\n', 'two commas': 'user,item,rating\n3,7,4,,\n20,8,5,,\n',
    'bars': 'user|item|rating\n3|7|4\n20|8|5\n',
    'blanks': 'user item rating\n3 7 4\n20 8 5\n', 'a comment': '# user,item,rating\n3,7,4\n20,8,5\n',
    'two comments': '# by me\n#user item rating\n3 7 4\n20 8 5\n',
    'a comment above a header': '# by me\nuser,item,rating\n3,7,4\n20,8,5\n',
    'KONECT': '% bip weighted\n% 2 20 8\n3 7 4\n20 8 5\n', 'blanks in names': 'user, item , rating \n3,7,4\n20,8,5\n',
    'blanks everywhere': 'user, item, rating\n3, 7, 4\n20, 8, 5\n',
    'tabs and blanks': 'user\t item\t rating\n3\t 7\t 4\n20\t 8\t 5\n',
    'the index of a frame': ',user,item,rating\n0,3,7,4\n1,20,8,5\n',
    'empty lines': '\nuser,item,rating\n\n3,7,4\n\n20,8,5\n\n',
    "Excel's first line": 'sep=;\nuser;item;rating\n3;7;4\n20;8;5\n', 'genres': '3,7,4,x,A|B|C|D|E|F|G\n20,8,5,y,A\n',
    'commas in titles': '3::7::4::a, b, c, d\n20::8::5::e\n',
    'old Mac': 'user,item,rating\r3,7,4\r20,8,5\r', 'quotes': '"user";"item";"rating"\n"3";"7";"4"\n"20";"8";"5"\n',
    'columns in another order': 'rating,title,item,user\n4,"a, b",7,3\n5,c,8,20\n'}


@pytest.mark.parametrize('layout', LAYOUTS)
def test_layouts(layout, tmp_path):
    (tmp_path/'r.csv').write_bytes(LAYOUTS[layout].encode())
    assert load_ratings(tmp_path/'r.csv')[['user', 'item', 'rating']].values.tolist() == PLAIN


def test_a_headless_file_with_text_ids(tmp_path):
    (tmp_path/'r.csv').write_text('A3U,B07,3.0,1512740300\nA4U,0007,4.0,1512740301\n')
    assert load_ratings(tmp_path/'r.csv').values.tolist() == [['A3U', 'B07', 3., 1512740300],
                                                              ['A4U', '0007', 4., 1512740301]]
    assert 'name one of user, item, rating, timestamp' in refused('train', '--model', 'dot', '--out', tmp_path/'m',
                                                                  '--data', tmp_path/'r.csv', '--user', 'A3U')


REFUSED = {
    'row names': (b'user,item,rating\n1,3,7,4\n',
                  'r.csv: the first line names 3 columns, but the rows have 4 fields: give each column a name'),
    'a name too many': (b'user,item,rating,title,timestamp\n3,7,4,9\n', 'names 5 columns, but the rows have 4 fields'),
    'one long row': (b'user,item,rating\n' + b'3,7,4\n'*30_000 + b'3,7,4,5\n',
                     'line 30002 has 4 fields and the lines before it 3'),
    'one column': (b'user\n3\n', 'one column only: separate the columns by commas'),
    'twice': (b'user,item,rating,rating\n3,7,4,4\n', "the column 'rating' is there twice"),
    'times twice': (b'user,item,rating,timestamp,timestamp\n3,7,4,4,4\n', "the column 'timestamp' is there twice"),
    'decimal comma': (b'user;item;rating\n3;7;4,5\n', 'write it with a point'),
    'UTF-16': ('user,item,rating\n3,7,4\n'.encode('utf-16'), 'Save it as csv in UTF-8'),
    'a damaged archive': (gzip.compress(b'3,7,4\n'*999)[:50], 'damaged'),
    'an empty id': (b'user,item,rating\n3,7,4\n,8,5\n', "1 of 2 values are missing in column 'user'"),
    'JSON of something else': (b'{"a": {"b": 1}}', "no column 'user'"),
    'broken JSON': (b'{"user": 1, "item": 2, "rating": 3}\n{"user": \n', 'line 2 is not JSON')}


@pytest.mark.parametrize('what', REFUSED)
def test_what_is_refused(what, tmp_path):
    (tmp_path/'r.csv').write_bytes(REFUSED[what][0])
    assert REFUSED[what][1] in refused('train', '--model', 'dot', '--data', tmp_path/'r.csv', '--out', tmp_path/'m')


def test_zips(tmp_path, monkeypatch):
    "A zip with one file is a file; one with several is MovieLens, or refused with the remedy."
    monkeypatch.chdir(tmp_path)
    text = own_ratings(tmp_path).read_text()
    (tmp_path/'ONE.ZIP').write_bytes(zipped(text))
    assert 'for 12 users' in run('train', '--model', 'dot', '--epochs', 1, '--data', 'ONE.ZIP', '--out', 'm')[1]
    with zipfile.ZipFile('two.zip', 'w') as z:
        for name in ('a.csv', 'b.csv'): z.writestr(name, text)
    assert 'name their file, unpacked' in refused('train', '--model', 'dot', '--data', 'two.zip', '--out', 'm2')
    (tmp_path/'no.zip').write_text(text)
    assert 'not a zip file' in refused('train', '--model', 'dot', '--data', 'no.zip', '--out', 'm2')


# Ids that do not occur, and dates

@pytest.mark.parametrize('name', ['dot', 'fastai_dot'])
def test_categories_that_do_not_occur_are_no_items(name, made_up):
    from movielens_ce.use.ranking import rank_users
    all_of_them = made_up.astype(dict(user='category', item='category'))
    few = all_of_them[made_up['item'] < 1010].reset_index(drop=True)
    plain = made_up[made_up['item'] < 1010].reset_index(drop=True)
    for rows in (few, load_ratings(few)):
        rec = train_on_all(name, rows, n_epoch=1)
        assert rec.items == sorted(plain['item'].unique()) and rec.users == sorted(plain.user.unique())
        assert set(rec.top_n(5)['item']) <= set(plain['item'])
    assert list(vocabulary(few['item'])) == list(vocabulary(plain['item']))
    dls = rating_dls(few, (np.arange(60), np.arange(60, len(few))), device='cpu')
    users = rank_users(DotProductBias.from_dls(dls, 2), dls, few.iloc[60:]).index
    assert set(users) <= set(plain.user.iloc[60:])


@pytest.mark.slow(8)
def test_dates_are_times(tmp_path):
    """ISO dates in a file are the same times as their seconds:
    in splits, in the context, in a comparison, in a saved model."""
    plain = own_ratings(tmp_path)
    rows = pd.read_csv(plain)
    dates = pd.to_datetime(rows.timestamp, unit='s')
    own_ratings(tmp_path, 'dates.csv', timestamp=dates.dt.strftime('%Y-%m-%dT%H:%M:%SZ'))
    own_ratings(tmp_path, 'when.csv', timestamp=dates.astype(str), rename=dict(timestamp='when'))
    for frame in (rows.assign(timestamp=dates), rows.assign(timestamp=dates.astype(str)),
                  rows.assign(timestamp=dates.dt.tz_localize('UTC'))):
        np.testing.assert_array_equal(TimeContext(frame)(frame), TimeContext(rows)(rows))
        assert (time_split(frame)[1] == time_split(rows)[1]).all()
    files = dict(plain=[plain], dates=[tmp_path/'dates.csv'], when=[tmp_path/'when.csv', '--timestamp', 'when'])
    for name, args in files.items():
        status, out, err = run('train', '--model', 'ordinal', '--epochs', 1, '--out', tmp_path/name, '--data', *args)
        assert not status and not err, err
        assert not run('compare', '--models', 'ordinal', '--folds', 'time,user-time', '--epochs', 1, '--jobs', 1,
                       '--out', tmp_path/f'{name}-out', '--data', *args)[0]
    probs = {name: load_model(tmp_path/name).predictions(rows).probs for name in files}
    tables = {name: pd.read_csv(tmp_path/f'{name}-out/results.csv').rmse.tolist() for name in files}
    for name in files: assert (probs[name] == probs['plain']).all() and tables[name] == tables['plain']
    said = [run('evaluate', '--model', tmp_path/'plain', '--json', '--data', *args)[1] for args in files.values()]
    assert said == said[:1]*3
    own_ratings(tmp_path, 'bad.csv', timestamp='1/2/2017')
    assert "or dates such as 2017-12-31 23:59:59, not '1/2/2017'" in refused('train', '--model', 'ordinal', '--out',
                                                                             tmp_path/'m', '--data', tmp_path/'bad.csv')
    assert not run('train', '--model', 'dot', '--epochs', 1, '--out', tmp_path/'m', '--data', tmp_path/'bad.csv')[0]


NETFLIX = '1:\n1488844,3,2005-09-06\n0822109,5,2005-05-13\n2:\n1488844,4,2005-09-07\n'


@pytest.mark.parametrize('text', [NETFLIX.encode(), NETFLIX.replace('\n', '\r\n').encode(),
                                  gzip.compress(NETFLIX.encode())], ids=['text', 'windows', 'gz'])
def test_blocks_of_netflix(text, tmp_path):
    (tmp_path/'combined_data_1.txt').write_bytes(text)
    ratings = load_ratings(tmp_path/'combined_data_1.txt')
    assert ratings.user.tolist() == ['1488844', '0822109', '1488844'] and ratings['item'].tolist() == [1, 1, 2]
    assert ratings.rating.tolist() == [3, 5, 4] and ratings.timestamp.tolist() == [1125964800, 1115942400, 1126051200]


def test_a_netflix_rating_that_is_missing_is_named(tmp_path):
    (tmp_path/'r.txt').write_text('1:\n7,3,2005-09-06\n8,,2005-05-13\n')
    with pytest.raises(ValueError, match="1 of 2 values are missing in column 'rating'"): load_ratings(tmp_path/'r.txt')


def test_a_registered_reader_is_asked_first(tmp_path, monkeypatch):
    "And only for its own kind: other files are read as before."
    monkeypatch.setattr('movielens_ce.data.files.READERS', [*READERS])

    @reader(lambda head: head.startswith(b'#likes'))
    def read_likes(path, ids):
        with open_file(path) as f:
            return pd.DataFrame([(*o.split(' likes '), 1) for o in f.read().decode().splitlines()[1:]],
                                                       columns=['user', 'item', 'rating'])
    (tmp_path/'likes').write_bytes(gzip.compress(b'#likes\nann likes dune\nbob likes emma\n'))
    (tmp_path/'r.csv').write_text('user,item,rating\nann,dune,4\n')
    assert load_ratings(tmp_path/'likes').values.tolist() == [['ann', 'dune', 1], ['bob', 'emma', 1]]
    assert load_ratings(tmp_path/'r.csv').values.tolist() == [['ann', 'dune', 4]]
