"The package as a whole: imports, the one-way flow, front page and README, and what it promises to run on."
import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from build import readme
from forked import own_environment

ROOT = Path(__file__).parent.parent
PACKAGE = 'movielens_ce'
# Nothing imports what stands to its right.
ROOMS = dict(data='published download movielens ids scale files ratings splits features dataset loaders context',
             models='tables parts sets scores heads models',
             training='losses optimizer newcomers loop stack likelihoods posterior mixing',
             scoring='metrics gaussian predictions posthoc intervals calibration',
             compare='entries identity runs fit tune experiment tables plots own verdict comparison',
             use='recommend ranking foldin recommender explain storage terminal cli')
FLOW = [f'{room}.{module}' for room, modules in ROOMS.items() for module in modules.split()]


def modules_named(node, room):
    """The dotted names below the package that an import statement in a module of `room` may mean:
    `from .splits import x` in `data` gives `data.splits` and `data.splits.x`."""
    if isinstance(node, ast.Import): names = [a.name for a in node.names]
    elif isinstance(node, ast.ImportFrom):
        above = [PACKAGE, *filter(None, room.split('.'))]
        base = '.'.join(filter(None, [*above[:len(above) + 1 - node.level], node.module] if node.level
                               else [node.module]))
        names = [base, *(f'{base}.{a.name}' for a in node.names)]
    else: return []
    return [n.removeprefix(f'{PACKAGE}.') for n in names if n.startswith(f'{PACKAGE}.')]


def imports(source, room=''):
    "The modules of the package that the source of a module in `room` imports, wherever it does, and `all`."
    names = [name for node in ast.walk(ast.parse(source)) for name in modules_named(node, room)]
    return {m for m in [*FLOW, 'all'] if any(f'{name}.'.startswith(f'{m}.') for name in names)}


@pytest.mark.parametrize('source, room, found', [
    ('from .splits import make_fold', 'data', {'data.splits'}),
    ('from ..data.splits import make_fold', 'models', {'data.splits'}),
    ('from . import splits, context as c', 'data', {'data.splits', 'data.context'}),
    ('from .data import splits', '', {'data.splits'}),
    ('import movielens_ce.data.splits', 'use', {'data.splits'}),
    ('import numpy, movielens_ce.use.cli as c', '', {'use.cli'}),
    ('from movielens_ce.data.splits import x', 'use', {'data.splits'}),
    ('from movielens_ce.data import splits', '', {'data.splits'}),
    ('from ..all import compare', 'use', {'all'}), ('def f():\n    from .cli import main', 'use', {'use.cli'}),
    ('from .. import __version__', 'use', set()), ('import data', '', set()), ('from data import splits', '', set()),
    ('from movielens_ce_other.data import splits', '', set())])
def test_every_form_of_import_is_seen(source, room, found): assert imports(source, room) == found


def file_of(module): return ROOT/PACKAGE/f'{module.replace(".", "/")}.py'


@pytest.mark.parametrize('module', FLOW)
def test_imports_go_one_way(module):
    assert imports(file_of(module).read_text(), module.partition('.')[0]) <= set(FLOW[:FLOW.index(module)])


def test_every_module_is_in_the_flow():
    there = {'.'.join(p.relative_to(ROOT/PACKAGE).with_suffix('').parts) for p in (ROOT/PACKAGE).rglob('*.py')
             if not p.stem.startswith('_')}
    assert there == {*FLOW, 'all'}


def test_readme_is_the_front_page():
    text, pictures = readme()
    again = 'is not what nbs/index.ipynb says: run `python docs/build.py`'
    assert (ROOT/'README.md').read_text() == text, f'README.md {again}'
    for name, png in pictures.items():
        assert (ROOT/name).exists() and (ROOT/name).read_bytes() == png, f'{name} {again}'


@pytest.mark.slow(6)
def test_readme_python_blocks_run_and_all_imports_without_nbdev(ml, tmp_path):
    "As a reader does it: in a fresh process, somewhere else, one block after the other, without the dev requirements."
    blocks = re.findall(r'^```python\n(.*?)^```', (ROOT/'README.md').read_text(), re.M | re.S)
    assert blocks
    code = ["import sys; sys.modules['nbdev'] = None", *blocks, *(f'import {PACKAGE}.{m}' for m in [*FLOW, 'all'])]
    done = subprocess.run([sys.executable, '-c', '\n'.join(code)], cwd=tmp_path, env=own_environment(),
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, '-m', PACKAGE, '--version'], env=own_environment(), capture_output=True,
                          text=True)
    assert done.returncode == 0 and done.stdout.startswith('movielens-ce, version ')
    # as a process of `compare` imports it: nothing runs
    import movielens_ce.__main__  # noqa: F401


def shown_commands():
    "(place, arguments) of every command `movielens-ce …` that a page, README.md or CONTRIBUTING.md shows."
    texts = [(p.name, p.read_text()) for p in (ROOT/'README.md', ROOT/'CONTRIBUTING.md')]
    for path in sorted((ROOT/'nbs').rglob('*.ipynb')):
        if '.ipynb_checkpoints' in path.parts: continue
        for cell in json.loads(path.read_text())['cells']:
            shown = [''.join(o.get('text', []) if isinstance(o.get('text', []), list) else [o['text']])
                     for o in cell.get('outputs', [])]
            shown += [''.join(o['data']['text/markdown']) for o in cell.get('outputs', [])
                      if 'text/markdown' in o.get('data', {})]
            texts += [(path.name, t) for t in [''.join(cell['source']), *shown]]
    for place, text in texts:
        for quoted, bare in re.findall(r'`(movielens-ce [^`\n{]+)`|^ *\$? *(?:pip install [^&\n]*&& )?(movielens-ce '
                                       r'[a-z][^`\n{…]*)$', text, re.M):
            yield place, shlex.split((quoted or bare).split('#')[0].split('&&')[0].rstrip('\\ '))[1:]


def test_the_commands_that_pages_show_are_commands():
    """Each is parsed with all of its options, and its models are those of the registry.
    Three examples of the command's page are meant to fail."""
    from movielens_ce.compare.entries import MODELS
    from movielens_ce.use.cli import cli
    refused = [['compare', '--models', 'svd'], ['compare', '--seeds', 'one'], ['compare', '--fold', '1']]
    found = [(place, args) for place, args in shown_commands() if not {'--version', '--help'} & {*args}]
    assert len(found) > 30
    for place, args in found:
        # the last: its name alone
        if place.endswith('_cli.ipynb') and args in refused or len(args) == 1 and args[0] in cli.commands: continue
        # raises for an option that is missing or unknown
        context = cli.commands[args[0]].make_context(args[0], args[1:])
        names = [context.params['model']] if args[0] == 'train' else context.params.get('models') or []
        assert {*names} <= {*MODELS}, (place, args)


def test_readme_commands_are_the_ci_commands():
    readme = (ROOT/'README.md').read_text()
    assert "pip install -c constraints.txt -e '.[dev]' && pytest" in readme
    assert 'pip install -c constraints.txt -e . && movielens-ce compare' in readme
    assert "pip install -c constraints.txt -e '.[dev]' && pytest" in (ROOT/'.ci/run').read_text()


def test_notebooks_are_pages():
    for path in (ROOT/'nbs').rglob('*.ipynb'):
        if '.ipynb_checkpoints' in path.parts: continue
        cells = json.loads(path.read_text())['cells']
        assert len(cells) <= 90, f'{path.name} has {len(cells)} cells'
        outputs = [o for c in cells for o in c.get('outputs', [])]
        assert outputs or not any(c['cell_type'] == 'code' for c in cells), f'{path.name} shows no outputs'
        assert not [o for o in outputs if o['output_type'] == 'error'
                    or 'Warning' in ''.join(o.get('text', []))], path.name


def test_links_between_notebooks_resolve():
    for path in (ROOT/'nbs').rglob('*.ipynb'):
        if '.ipynb_checkpoints' in path.parts: continue
        for cell in json.loads(path.read_text())['cells']:
            text = ''.join(cell['source']) if cell['cell_type'] == 'markdown' else ''
            text += ''.join(''.join(o.get('data', {}).get('text/markdown', [])) for o in cell.get('outputs', []))
            for link in re.findall(r'\]\(([^)#\s]+)', text):
                assert link.startswith(('http://', 'https://')) or (path.parent/link).exists(), f'{path.name}: {link}'


def test_the_picture_of_the_flow_names_every_module():
    drawn = re.sub(r'<desc.*?</desc>', '', (ROOT/'nbs/images/flow.svg').read_text(), flags=re.S)
    assert not [m for m in FLOW if not re.search(rf'[>\s]{m.rpartition(".")[2]}[<,]', drawn)]


def python_versions(text): return re.findall(r'\b3\.\d+\b', text)


def test_python_versions_are_those_that_ci_runs():
    workflow = yaml.safe_load((ROOT/'.github/workflows/tests.yml').read_text())
    versions = workflow['jobs']['tests']['strategy']['matrix']['python']
    project = tomllib.loads((ROOT/'pyproject.toml').read_text())['project']
    promise, = re.findall(r'with Python (.*):', (ROOT/'README.md').read_text())
    assert python_versions(promise) == versions
    assert project['requires-python'] == f'>={versions[0]}'
    docs = re.search(r'python-version: "(.*)"', (ROOT/'.github/workflows/docs.yml').read_text())[1]
    assert docs in versions


def test_pins_are_said_once():
    "The line that installs PyTorch's CPU build names the versions of constraints.txt."
    pins = [line for line in (ROOT/'constraints.txt').read_text().splitlines() if line and not line.startswith('#')]
    for name in ('README.md', 'CONTRIBUTING.md'):
        line, = re.findall(r'pip install (.*) --index-url https://download\.pytorch\.org/whl/cpu',
                           (ROOT/name).read_text())
        assert line.split() == pins, name


def test_hooks_leave_the_tree_as_it_is(tmp_path):
    "`nbdev-install-hooks` writes .gitattributes and .gitconfig: they are committed as it writes them."
    tree = tmp_path/'tree'
    tree.mkdir()
    env = own_environment() | dict(HOME=str(tmp_path), GIT_CONFIG_GLOBAL=os.devnull)

    def git(*args):
        return subprocess.run(['git', '-c', 'user.name=me', '-c', 'user.email=me', *args], cwd=tree, env=env,
                              check=True, capture_output=True, text=True).stdout
    git('init')
    for name in ('.gitignore', '.gitattributes', '.gitconfig', 'pyproject.toml', 'settings.ini'):
        shutil.copy(ROOT/name, tree)
    git('add', '.')
    git('commit', '-m', 'all')
    subprocess.run([sys.executable, '-c', 'from nbdev.clean import nbdev_install_hooks; nbdev_install_hooks()'],
                   cwd=tree, env=env, check=True, capture_output=True)
    assert (tree/'.git/hooks/post-merge').exists() and '.gitconfig' in git('config', '--local', 'include.path')
    assert git('status', '--porcelain') == ''


def long_lines(limit=120):
    """Lines of code in notebooks that are longer than the others of the repository, which ruff checks.
    Captions stand in one line."""
    for path in sorted((ROOT/'nbs').rglob('*.ipynb')):
        if '.ipynb_checkpoints' in path.parts: continue
        for cell in json.loads(path.read_text())['cells']:
            lines = ''.join(cell['source']).split('\n') if cell['cell_type'] == 'code' else []
            yield from (f'{path.name}: {line}' for line in lines if len(line) > limit and not line.startswith('#|'))


def test_lines_of_notebooks_fit(): assert not [*long_lines()]


def test_ruff_finds_nothing():
    done = subprocess.run([sys.executable, '-m', 'ruff', 'check', '--no-cache'], cwd=ROOT, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout
