"Every notebook runs from top to bottom."
from pathlib import Path

import nbdev.test
import pytest

NBS = Path(__file__).parent.parent/'nbs'


@pytest.mark.parametrize('path', sorted(p for p in NBS.rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts), ids=lambda p: str(p.relative_to(NBS)))
def test_notebook_runs(path, ml):
    ok, _ = nbdev.test.test_nb(path, basepath=NBS.parent)
    assert ok, f'{path.name} failed: its traceback is above'
