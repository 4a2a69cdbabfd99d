"Every notebook runs from top to bottom and shows what is committed of it, JupyterLab opens it, and it reads as a page."
import ast
import difflib
import json
import math
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from forked import KernelManager, own_environment
from nbclient import NotebookClient

NBS = Path(__file__).parent.parent/'nbs'
NOTEBOOKS = sorted(p for p in NBS.rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts)


def name_of(path): return path.relative_to(NBS).as_posix()


def short_name(path): return re.sub(r'^\d+[a-z]?_', '', path.stem)


# The notebooks that take longer than a few seconds on one core, and how long.
LONG = dict(loop=10, stack=10, posthoc=11, context=5, published=3, cli=9, storage=8, comparison=20, fit=20, models=10,
            ranking=8, predictions=7, recommender=5, index=6, your_own_model=30, posterior=9, mixing=5,
            keep_a_model=6, your_own_ratings=4, which_door=3, reproduce_our_table=3)
# Studies whose models train for longer than all other pages together; `pytest -m study` runs them.
STUDIES = dict(nets_and_cross_entropy=45, probability_as_loss=33, fastai_in_plain_pytorch=26, top_50_for_every_user=24,
               cross_entropy_dot_product=18, one_epoch_is_not_one_pass=16)
# run in a new kernel, as JupyterLab starts it; the others are forked, see forked.py
FRESH = {'index.ipynb', 'guides/your_own_model.ipynb',
         # shows fastprogress's table, which is text where fastprogress was imported before the kernel
         'scoring/02_predictions.ipynb'}


def marks_of(path):
    "What a notebook is marked with: long, or a study that trains for long."
    name = short_name(path)
    if name in STUDIES: return [pytest.mark.slow(STUDIES[name]), pytest.mark.study]
    return [pytest.mark.slow(LONG[name])] if name in LONG else []


def marked(paths):
    "The notebooks as parameters, the long ones marked."
    return [pytest.param(p, id=name_of(p), marks=marks_of(p)) for p in paths]


def test_the_long_notebooks_are_there(): assert {*LONG, *STUDIES} <= {short_name(p) for p in NOTEBOOKS}


def without_times(text):
    """What an output says beside how long something took and with which versions:
    fastai's `00:01`, `train_seconds`, `0.7 seconds`, the column of seconds in Markdown's tables and the
    terminal's."""
    text = re.sub(r'(train_seconds\W+)[\d.]+', r'\1', re.sub(r'\b\d\d:\d\d\b', '', text))
    text = re.sub(r'\b[\d.]+( (s|seconds|minutes)\b)', r'\1', text)
    text = re.sub(r'^movielens_ce [\d.]+, .*Python [\d.]+', '', text, flags=re.M)
    lines, drop, last = [], None, False
    for line in text.split('\n'):
        columns = line.strip().strip('|').split('|')
        if not line.startswith('|'): drop = None
        elif drop is None:
            drop = next((i for i, c in enumerate(columns) if re.fullmatch(r' *(train[_ ])?(s|seconds)\b.*', c)), -1)
        last = bool(line.strip()) and (last or bool(re.search(r'^model.* (s|seconds) *$', line)))
        if last: line = re.sub(r'\S+ *$', '', line)
        lines.append(line if drop in (None, -1) else '|'.join(c for i, c in enumerate(columns) if i != drop))
    return '\n'.join(lines)


def shown(cell):
    "The text of a cell's outputs, and of its pictures that there are some: pixels depend on the fonts of a machine."
    texts = []
    for o in cell.get('outputs', []):
        data = o.get('data', {})
        best = next((k for k in ('image/png', 'image/svg+xml', 'text/html', 'text/markdown', 'text/plain')
                     if k in data), None)
        text = 'a picture' if best and best.startswith('image') else data[best] if best else o.get('text', '')
        texts.append(without_times(''.join(text)))
    return '\n'.join(texts)


NUMBER = re.compile(r'(?<![\w.])[-+−]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?(?: ?%)?')
# a figure claims no more digits than these, and nothing below what float32 adds up to
DIGITS, NOISE = 5, 1e-5


def value(number): return float(number.rstrip(' %').replace(',', '').replace('−', '-'))
def is_count(number): return bool(re.fullmatch(r'[-+−]?[\d,]+', number))


def last_digit(number):
    "What one unit of the last digit of a printed number stands for: 0.001 for 0.829."
    mantissa, _, power = number.rstrip(' %').partition('e')
    decimals = len(mantissa.partition('.')[2])
    largest = math.floor(math.log10(abs(value(number)) or 1))
    return max(10.**(int(power or 0) - decimals), 10.**(largest + 1 - DIGITS), NOISE)


def agree(was, now, units=1):
    """Whether two printed numbers say the same:
    counts exactly, figures to `units` of their last digit, since another processor adds in another order."""
    if is_count(was) and is_count(now) and units == 1: return value(was) == value(now)
    return abs(value(was) - value(now)) <= (units + 1e-6)*min(last_digit(was), last_digit(now))


def same(a, b, units=1):
    "Whether two texts say the same: words exactly, numbers as far as their digits claim."
    words = [re.sub(r'\s+|\*\*|-{3,}', ' ', NUMBER.sub('#', t)).split() for t in (a, b)]
    return words[0] == words[1] and all(agree(x, y, units) for x, y in zip(*map(NUMBER.findall, (a, b))))


def different_lines(was, now, units):
    "The lines in which two texts differ: `- committed`, `+ now`."
    was, now = was.split('\n'), now.split('\n')
    if len(was) == len(now): was, now = zip(*((a, b) for a, b in zip(was, now) if not same(a, b, units)))
    return '\n'.join(line for line in difflib.ndiff(was, now) if line[0] in '-+')


def units_of(source):
    """How many units of its last digit a number that a cell shows may be off:
    1, or what the cell says, `#| tolerance: 5`."""
    found = re.search(r'^#\| *tolerance: *(\d+)', source, re.M)
    return int(found[1]) if found else 1


def executed(nb, folder, fresh=False):
    """A notebook with the outputs that its code gives in a kernel of its own, in the environment that all kernels here
    have."""
    nb = nbformat.from_dict(json.loads(json.dumps(nb)))
    km = None if fresh else KernelManager(kernel_name='python3')
    NotebookClient(nb, km=km, timeout=600, kernel_name='python3',
                   resources=dict(metadata=dict(path=str(folder)))).execute(env=own_environment(), cleanup_kc=True)
    return nb


@pytest.mark.parametrize('path', marked(NOTEBOOKS))
def test_outputs_are_those_of_the_code(path, ml):
    committed = nbformat.read(path, 4)
    nbformat.validate(committed)
    committed.cells = [c for c in committed.cells if 'nbdev_export()' not in c.source
                       and not re.search(r'^#\| *eval: *false', c.source, re.M)]
    again = executed(committed, path.parent, name_of(path) in FRESH)
    for old, new in zip(committed.cells, again.cells):
        if old.cell_type != 'code' or same(was := shown(old), is_ := shown(new), units := units_of(old.source)):
            continue
        pytest.fail(f'{path.name}: the outputs of this cell are not committed, run the notebook '
                    f'again\n\n{old.source}\n\n{different_lines(was, is_, units)}', pytrace=False)


@pytest.mark.parametrize('fresh', [False, True], ids=['forked', 'fresh'])
def test_kernels_do_not_see_a_persons_settings(fresh, tmp_path, monkeypatch):
    for name, said in dict(MPLBACKEND='agg', PYTHONWARNINGS='error', PYTHONOPTIMIZE='1', OMP_NUM_THREADS='7').items():
        monkeypatch.setenv(name, said)
    code = ['import os, sys, warnings, matplotlib.pyplot as plt\nplt.plot([1, 2]);',
            "assert not sys.flags.optimize and not sys.warnoptions and os.environ['OMP_NUM_THREADS'] == "
            "'1'\nwarnings.warn('not an error')"]
    drawn, said = executed(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in code]), tmp_path,
                           fresh).cells
    assert shown(drawn) == 'a picture' and 'not an error' in shown(said)


LIBRARY = [p for p in NOTEBOOKS if re.match(r'\d', p.name)]


@pytest.mark.parametrize('path', [p for p in NOTEBOOKS if p.name != 'index.ipynb'], ids=name_of)
def test_imports_are_shown(path):
    """Folded or not: a reader can copy a cell and its imports.
    (Home shows one block of code, which imports what it uses.)"""
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type != 'code' or not re.search(r'^#\| *(hide|include: *false|echo: *false)', cell.source, re.M):
            continue
        assert not re.search(r'^(import (?!nbdev)|from \S+ import )', cell.source, re.M), cell.source


@pytest.mark.parametrize('path', LIBRARY, ids=name_of)
def test_imports_have_cells_of_their_own(path):
    """`nbdev-docs` runs every cell that imports, to document what is exported;
    what else stands in such a cell would run without the cells before it."""
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type != 'code' or re.search(r'^#\| *(export|hide)', cell.source,
                                                 re.M) or cell.source.startswith('%'): continue
        imports = [isinstance(n, (ast.Import, ast.ImportFrom)) for n in ast.parse(cell.source).body]
        assert all(imports) or not any(imports), cell.source


def test_times_do_not_count_and_the_rest_does():
    table = '| model | RMSE | s |\n| --- | --: | --: |\n| `dot` | 0.91 | {} |\n'
    assert same(without_times(table.format(1)), without_times(table.format('**7**')))
    assert same(*(without_times(table.replace('| s |', '| train seconds |').format(t))
                  for t in ('0.4 ± 0.2', '0.6 ± 0.0')))
    terminal = '           train \nmodel    RMSE seconds \nbook_dot 0.69     {} \n\n3 of 4'
    assert same(without_times(terminal.format(.5)), without_times(terminal.format(2.2)))
    assert without_times(terminal).endswith('3 of 4')
    assert same(without_times("{'train_seconds': 0.1}"), without_times("{'train_seconds': 9.5}"))
    assert same(without_times('RMSE 0.91 in 0.7 seconds'), without_times('RMSE 0.91 in 12 seconds'))
    assert not same(without_times('RMSE 0.91 in 0.7 seconds'), without_times('RMSE 0.95 in 0.7 seconds'))


@pytest.mark.parametrize('a, b', [('0.829 ± 0.003', '0.830 ± 0.002'), ('0.9', '0.899'), ('1.2e-3', '1.1e-3'),
                                  ('3e-08', '9e-07'), ('43%', '44 %'), ('12345.67', '12345.99'),
                                  ('2,292,700 rows', '2,292,700 rows'), ('−0.001', '0.000'), ('0.8734512', '0.8734519'),
                                  ('**0.8**', '0.8')])
def test_figures_are_taken_for_what_they_claim(a, b): assert same(a, b) and same(b, a)


@pytest.mark.parametrize('a, b', [('differs by 0.003', 'differs by 0.012'), ('0.829', '0.831'), ('0.83', '0.93'),
                                  ('RMSE 0.83', 'MAE 0.83'), ('(3, 5)', '(3, 5, 1)'), ('943 users', '944 users'),
                                  ('2,292,700 rows', '2,292,701 rows'), ('1.2e-3', '1.4e-3'), ('43%', '45%'),
                                  ('12345.67', '12347.67'), ('0.003', '-0.003'), ('0.0001', '0.0003')])
def test_another_figure_is_another_figure(a, b): assert not same(a, b) and not same(b, a)


def test_a_cell_may_say_that_its_figures_vary():
    assert units_of('#| tbl-cap: "x"\n#| tolerance: 20\nf()') == 20 and units_of('f()  # tolerance: 20') == 1
    assert different_lines('a 0.1\nb 0.2', 'a 0.2\nb 0.7', 1) == '- b 0.2\n+ b 0.7'
    assert same('0.829 of 943', '0.845 of 950', 20) and not same('0.829 of 943', '0.850 of 943', 20)


@pytest.mark.slow(4)
def test_jupyterlab_opens_every_notebook(tmp_path):
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    command = [sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root', f'--port={port}',
               '--ServerApp.port_retries=0', '--IdentityProvider.token=here', f'--ServerApp.root_dir={NBS}']
    with open(tmp_path/'log', 'w') as log:
        lab = subprocess.Popen(command, stdout=log, stderr=log, env=own_environment())

    def get(address):
        return urllib.request.urlopen(f'http://127.0.0.1:{port}/{address}{"&" if "?" in address else "?"}token=here',
                                      timeout=30).read().decode()
    try:
        for _ in range(120):
            try: page = get('lab')
            except OSError: time.sleep(.5)
            else: break
        assert 'JupyterLab' in page, (tmp_path/'log').read_text()
        assert 'python3' in json.loads(get('api/kernelspecs'))['kernelspecs']
        for path in NOTEBOOKS:
            opened = json.loads(get(f'api/contents/{name_of(path)}?type=notebook'))
            assert opened['content']['cells'] and not opened.get('message'), f'{path.name}: {opened.get("message")}'
    finally:
        lab.terminate()
        lab.wait(30)


DEBRIS = {'a warning': r'Warning', "an object's address": r' at 0x[0-9a-f]', 'a carriage return': r'\r',
          'a terminal code': '\x1b',
          'a path of a machine': r'(?<![\w.])/(?:home|root|tmp|usr|var|work|Users|opt|private|mnt)/|\b[A-Z]:\\\\',
          'a figure that was not drawn': r'\A<Figure size'}


def texts(output):
    "What an output shows: its picture's and table's plain texts only where there is nothing better."
    data = output.get('data', {})
    if 'image/png' in data or 'image/svg+xml' in data: return []
    if 'text/html' in data and '<table' in ''.join(data['text/html']): return [''.join(data['text/html'])]
    return [''.join(v) for k, v in data.items() if k.startswith('text/')] + [''.join(output.get('text', []))]


def is_table(output):
    "Whether an output is a table, of HTML or of nothing but Markdown."
    data = {k: ''.join(v) for k, v in output.get('data', {}).items() if k.startswith('text/')}
    return '<table' in data.get('text/html', '') or data.get('text/markdown', '').lstrip().startswith('|')


def page_faults(cells):
    "What keeps the cells of a notebook from being a page that reads well."
    head = ''.join(cells[0]['source']).split('\n')
    titled = cells[0]['cell_type'] == 'markdown' and [o[:2] for o in head[:3:2]] == ['# ', '> ']
    faults = [] if titled else ['no title with a description below it']
    for i, c in enumerate(cells):
        source = ''.join(c['source'])
        options = dict(re.findall(r'^#\| *([\w-]+):? *(.*)$', source, re.M))
        if c['cell_type'] != 'code' or 'hide' in options: continue
        said = {o for o in options if options[o].strip('"')}
        pictures = [o for o in c['outputs'] if {'image/png', 'image/svg+xml'} & set(o.get('data', {}))]
        if pictures and 'fig-alt' not in said: faults.append(f'cell {i}: a picture without fig-alt')
        if len(pictures) > 1: faults.append(f'cell {i}: more than one picture')
        if any(map(is_table, c['outputs'])) and 'tbl-cap' not in said:
            faults.append(f'cell {i}: a table without tbl-cap')
        for text in (t for o in c['outputs'] for t in texts(o)):
            faults += [f'cell {i}: {what}' for what, pattern in DEBRIS.items() if re.search(pattern, text)]
            # fastai decides how many digits its table has
            if 'class="fastprogress"' in text: continue
            faults += [f'cell {i}: {n} has too many digits' for n in re.findall(r'\d+\.\d{5,}', text)
                       if len(n.rstrip('0').replace('.', '').lstrip('0')) > 5]
        if len(source.splitlines()) > 20 and not options.keys() & {'export', 'exports', 'code-fold', 'echo'}:
            faults.append(f'cell {i}: {len(source.splitlines())} lines of code, not folded')
    return faults


@pytest.mark.parametrize('path', NOTEBOOKS, ids=name_of)
def test_notebook_reads_as_a_page(path):
    faults = page_faults(json.loads(path.read_text())['cells'])
    assert not faults, '\n' + '\n'.join(faults)


def cell(source, **output):
    return dict(cell_type='code', source=source, outputs=[dict(output_type='execute_result', **output)])


@pytest.mark.parametrize('bad, good, word', [
    (cell('plot()', data={'image/png': ''}), cell('#| fig-alt: "A line"\nplot()', data={'image/png': ''}), 'fig-alt'),
    (cell('#| tbl-cap: ""\ndf', data={'text/html': '<table>'}),
     cell('#| tbl-cap: "Scores"\ndf', data={'text/html': '<table>'}), 'tbl-cap'),
    (cell('f', text='<function f at 0x7f3a>'), cell('f', text='at 0.3'), 'address'),
    (cell('f', text='UserWarning: no'), cell('#| hide\nf', text='UserWarning: no'), 'warning'),
    (cell('f', text='/home/ann/x.csv'), cell('f', text='books/home/x.csv'), 'path'),
    (cell('f', text='50%\r100%'), cell('f', text='100%'), 'carriage'),
    (cell('f', text='0.829491'), cell('f', text='0.007042 and 12345.6'), 'digits'),
    (cell('f', data={'text/plain': '<Figure size 9x9>'}),
     cell('#| fig-alt: "x"\nf', data={'text/plain': '<Figure size 9x9>', 'image/png': ''}), 'not drawn'),
    (cell('a\n'*30), cell('#| code-fold: true\n' + 'a\n'*30), 'not folded')],
    ids=lambda o: o if isinstance(o, str) else '')
def test_a_fault_is_found(bad, good, word):
    head = dict(cell_type='markdown', source='# Title\n\n> What is on the page')
    assert page_faults([head, good]) == []
    found, = page_faults([head, bad])
    assert word in found
    assert 'no title' in page_faults([head | dict(source='# Title')])[0]


@pytest.mark.parametrize('path', [p for p in NOTEBOOKS if p.parent.name in ('studies', 'guides')], ids=name_of)
def test_studies_and_guides_use_the_library_and_export_nothing(path):
    code = [''.join(c['source']) for c in json.loads(path.read_text())['cells'] if c['cell_type'] == 'code']
    assert any('from movielens_ce' in c for c in code)
    assert not [c for c in code if re.search(r'^#\| *(default_exp|export)', c, re.M)]
