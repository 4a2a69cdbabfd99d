"The package as a whole: imports, the one-way flow, front page and README."
import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOW = ('movielens data context scores heads models losses training metrics fitted evaluation registry runs comparison statistics plots '
        'recommendation cli').split()                                                              # nothing imports what stands to its right


def imports(module):
    "The modules of the package that `module` imports, wherever it does."
    tree = ast.parse((ROOT/'movielens_ce'/f'{module}.py').read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith('movielens_ce'):
            names |= {node.module.split('.')[1]} if '.' in node.module else {a.name for a in node.names}
    return names & set(FLOW)


@pytest.mark.parametrize('module', FLOW)
def test_imports_go_one_way(module):
    assert (ROOT/'movielens_ce'/f'{module}.py').exists()
    assert imports(module) <= set(FLOW[:FLOW.index(module)])


def test_every_module_is_in_the_flow():
    assert {p.stem for p in (ROOT/'movielens_ce').glob('*.py') if not p.stem.startswith('_')} == set(FLOW)


def test_imports_without_nbdev():
    code = "import sys; sys.modules['nbdev'] = None\n" + '\n'.join(f'import movielens_ce.{m}' for m in FLOW)
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_readme_is_the_front_page():
    pytest.importorskip('smalldocs', reason='smalldocs needs Python 3.11')
    from build import readme
    text, pictures = readme()
    again = 'is not what nbs/index.ipynb says: run `python docs/build.py`'
    assert (ROOT/'README.md').read_text() == text, f'README.md {again}'
    for name, png in pictures.items(): assert (ROOT/name).exists() and (ROOT/name).read_bytes() == png, f'{name} {again}'


def test_readme_commands_are_the_ci_commands():
    readme = (ROOT/'README.md').read_text()
    assert "pip install -c constraints.txt -e '.[dev]' && pytest" in readme
    assert 'pip install -c constraints.txt -e . && movielens-ce compare' in readme
    assert "pip install -c constraints.txt -e '.[dev]' && pytest" in (ROOT/'.ci/run').read_text()


def test_notebooks_are_pages():
    import json
    for path in (ROOT/'nbs').rglob('*.ipynb'):
        if '.ipynb_checkpoints' in path.parts: continue
        cells = json.loads(path.read_text())['cells']
        assert len(cells) <= 60, f'{path.name} has {len(cells)} cells'
        outputs = [o for c in cells for o in c.get('outputs', [])]
        assert outputs, f'{path.name} shows no outputs'
        assert not [o for o in outputs if o['output_type'] == 'error' or 'Warning' in ''.join(o.get('text', []))], path.name


def test_links_between_notebooks_resolve():
    import json
    import re
    for path in (ROOT/'nbs').rglob('*.ipynb'):
        if '.ipynb_checkpoints' in path.parts: continue
        for cell in json.loads(path.read_text())['cells']:
            text = ''.join(cell['source']) if cell['cell_type'] == 'markdown' else ''
            text += ''.join(''.join(o.get('data', {}).get('text/markdown', [])) for o in cell.get('outputs', []))
            for link in re.findall(r'\]\(([^)#\s]+)', text):
                assert link.startswith(('http://', 'https://')) or (path.parent/link).exists(), f'{path.name}: {link}'


def test_the_picture_of_the_flow_names_every_module():
    import re
    drawn = re.sub(r'<desc.*?</desc>', '', (ROOT/'nbs/images/flow.svg').read_text(), flags=re.S)
    assert not [m for m in FLOW if not re.search(rf'[>\s]{m}[<,]', drawn)]
