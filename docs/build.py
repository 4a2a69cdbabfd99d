"""README.md and the site in `_docs/`, from the notebooks and the outputs that are committed in them: `python
docs/build.py`.

Needs the dev requirements, no Quarto and no network. Where Quarto is installed, `nbdev-docs` makes the same pages in
the same order from the same files
(`nbs/_quarto.yml`, `nbs/sidebar.yml`, `nbs/styles.css`). Four steps: nbdev's processors (documentation of what cells
define, hidden cells, front matter); a few changes
to the processed notebooks; smalldocs; a few changes to its HTML."""
import argparse
import ast
import base64
import html
import json
import posixpath
import re
import shutil
import struct
import sys
from importlib import import_module
from itertools import groupby
from pathlib import Path

import nbformat
import yaml
from bs4 import BeautifulSoup, NavigableString
from smalldocs.notebook import ANSI, cell_options, fence_for

ROOT = Path(__file__).resolve().parent.parent
NBS, STAGE, OUT = ROOT/'nbs', ROOT/'_stage', ROOT/'_docs'           # nbdev keeps its own notes in _proc
PACKAGE = 'movielens_ce'


def notebooks():
    "The notebooks that are pages, as paths below nbs/."
    return sorted(p.relative_to(NBS) for p in NBS.rglob('*.ipynb')
                  if not any(part.startswith(('.', '_')) for part in p.relative_to(NBS).parts))


def joined(x): return ''.join(x) if isinstance(x, list) else x

# ------------------------------------------------------------------ README.md

def hidden(code):
    "Whether nbdev leaves a code cell out altogether."
    return bool(re.search(r'^#\|\s*(hide|export|exporti|default_exp)\b|^#\|\s*include:\s*false', code, re.M))


def caption(opts, key, n=0):
    "The n-th caption (or alt text) of a cell."
    cap = opts.get(key)
    return (cap[n] if n < len(cap) else '') if isinstance(cap, list) else cap or ''


def plain_table(table):
    "A table as GitHub shows it: without styles."
    for t in table.find_all(True): t.attrs = {k: v for k, v in t.attrs.items() if k in ('colspan', 'rowspan')}
    table.attrs = {}
    return str(table)


def readme(path=NBS/'index.ipynb'):
    """README.md's text and its pictures {path: bytes}:
    the front page without the code that it folds or hides, its links made to start at the root of the
    repository."""
    parts, pictures = [], {}
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == 'markdown': parts.append(cell.source)
        if cell.cell_type != 'code' or hidden(cell.source): continue
        opts, code = cell_options(cell.source)
        if opts.get('echo', True) and str(opts.get('code-fold', False)).lower() == 'false' and code.strip():
            parts.append(f'```python\n{code.strip()}\n```')
        pics = 0
        for out in cell.outputs if opts.get('output', True) is not False else []:
            data = out.get('data', {})
            if 'text/markdown' in data:
                parts.append(joined(data['text/markdown']).strip())
                if opts.get('tbl-cap') and '|' in parts[-1]: parts.append(f'*{caption(opts, "tbl-cap")}*')
            elif 'image/png' in data:
                name = f'docs/readme/{len(pictures) + 1}.png'
                pictures[name] = base64.b64decode(joined(data['image/png']))
                parts.append(f'![{caption(opts, "fig-alt", pics) or caption(opts, "fig-cap", pics)}](../{name})')
                if opts.get('fig-cap'): parts.append(f'*{caption(opts, "fig-cap", pics)}*')
                pics += 1
            elif '<table' in joined(data.get('text/html', '')):
                parts.append(plain_table(BeautifulSoup(joined(data['text/html']), 'html.parser').table))
                if opts.get('tbl-cap'): parts.append(f'*{caption(opts, "tbl-cap")}*')
            else:
                text = ANSI.sub('', joined(out.get('text') or data.get('text/plain', ''))).strip('\n')
                parts.append(f'{fence_for(text)}\n{text}\n{fence_for(text)}')

    def from_root(m): return m[0] if re.match(r'[a-z]+:|#|/', m[2]) else f'{m[1]}{posixpath.normpath("nbs/" + m[2])}'
    text = re.sub(r'(!?\[[^\]]*\]\(|<img[^>]* src=")([^)\s"]+)', from_root, '\n\n'.join(parts))
    return text.strip() + '\n', pictures


def write_readme():
    text, pictures = readme()
    (ROOT/'README.md').write_text(text)
    shutil.rmtree(ROOT/'docs/readme', ignore_errors=True)
    for name, png in pictures.items():
        (ROOT/name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT/name).write_bytes(png)

# ------------------------------------------------------------------ notebooks to pages

def page_name(path):
    "`00_data.ipynb` becomes `data.ipynb`, as in Quarto's output."
    from nbdev.config import nbpath2html
    return nbpath2html(path).with_suffix('.ipynb')


def in_new_names(text): return re.sub(r'(\]\(|- |href: )((?:[\w.-]+/)*)\d+[a-z]?_(\w+\.ipynb)', r'\1\2\3', text)


def modules():
    "The package's modules, such as `data.splits`, and what nbdev's index says of the names in them: (page, file)."
    return {m.removeprefix(f'{PACKAGE}.'): syms for m, syms in import_module(f'{PACKAGE}._modidx').d['syms'].items()}


def below(module, suffix=''):
    "The place of a module's page or source below the site or the package: `data/splits.html`."
    return f'{module.replace(".", "/")}{suffix}'


def addresses():
    """Where each public name and each module is documented;
    a name that the command line shares with the library means the library's."""
    found = {}
    for module, syms in sorted(modules().items(), key=lambda m: m[0].endswith('cli')):
        for full, (page, _) in syms.items():
            short = full.removeprefix(f'{PACKAGE}.{module}.')
            if not any(re.match(r'_(?!_)', part) for part in short.split('.')):
                found.setdefault(short, page)
                for name in (full, f'{module}.{short}', f'{module.rpartition(".")[2]}.{short}'): found[name] = page
    return found | {name: below(m, '.html') for m in modules() for name in (m, f'{PACKAGE}.{m}')}


def definitions(module):
    "The line of each definition in a module: {'RatingScale.to_class': 103}."
    found, tree = {}, ast.parse((ROOT/PACKAGE/below(module, '.py')).read_text())

    def walk(node, prefix=''):
        for n in node.body:
            if isinstance(n, (ast.FunctionDef, ast.ClassDef)):
                patched = [ast.unparse(n.args.args[0].annotation)] if any('patch' in ast.unparse(d)
                                                                          for d in n.decorator_list) else []
                found[prefix + '.'.join([*patched, n.name])] = n.lineno
                if isinstance(n, ast.ClassDef): walk(n, f'{prefix}{n.name}.')
    walk(tree)
    return found


def linked(text, up, names, skip=''):
    "Markdown with the names in backticks that are documented linked to their place, outside code and other links."
    def link(m):
        page = names.get(m[2])
        return f'[{m[1]}]({up}{page.replace(".html", ".ipynb")})' if page and page != skip else m[0]
    lines, fenced = text.split('\n'), False
    for i, line in enumerate(lines):
        if line.startswith('```'): fenced = not fenced
        elif not fenced and not line.startswith('    '):
            lines[i] = re.sub(r'(?<![\[`\w])(`([\w.]+)(?:\(\))?`)(?![\]`])', link, line)
    return '\n'.join(lines)


def in_order_of_definition(cells):
    """nbdev adds the documentation of what a cell defines in reverse order;
    this puts it in the order of the definitions."""
    runs = groupby(cells, key=lambda c: bool(c.get('has_sd')))
    return [c for added, run in runs for c in (reversed(list(run)) if added else run)]


def processed(path):
    "A notebook after nbdev's processors. Documentation comes from the library itself, so that no cell has to run."
    from fastcore.nbio import nb2str, read_nb
    from nbdev import processors as P
    from nbdev.process import NBProcessor

    module = '.'.join(page_name(path.relative_to(NBS)).with_suffix('').parts)
    names, lines = (dict(vars(import_module(f'{PACKAGE}.{module}'))),
                    definitions(module)) if module in modules() else ({}, {})

    class AddShowDocs(P.add_show_docs):
        def begin(self):
            super().begin()
            self.nb.cells[:] = in_order_of_definition(self.nb.cells)

    class ShowDocs(P.Processor):
        def cell(self, cell):
            if not P._is_showdoc(cell): return
            sym = re.search(r'show_doc\(([\w.]+)', cell.source)[1]
            obj = eval(sym, names)
            # a command of click is the function behind it
            text = P.show_doc(getattr(obj, 'callback', obj))._repr_markdown_().removeprefix('---\n\n')
            text = re.sub(r'\[source\]\([^)]*\)\{[^}]*\}',
                          f'[source](/source/{below(module)}.md#L-{lines[sym]}){{.source}}', text)
            cell.outputs = [nbformat.v4.new_output('display_data', {'text/markdown': text})]

    replace = {P.add_show_docs: AddShowDocs, P.exec_show_docs: ShowDocs, P.add_links: None}
    procs = [replace.get(p, p) for p in P.FilterDefaults().procs() if replace.get(p, p)]
    proc = NBProcessor(nb=read_nb(path), procs=procs, rm_directives='quarto')
    proc.process()
    for cell in proc.nb.cells: cell.pop('has_sd', None)            # nbdev's own mark, which is no part of the format
    return nbformat.reads(nb2str(proc.nb), 4)


def result_first(cells):
    """A study computes its *In short* last;
    on its page this section comes first, before the first heading and the first code."""
    heads = [i for i, c in enumerate(cells) if c.cell_type == 'markdown' and c.source.startswith('## ')]
    start = next((i for i in heads if cells[i].source.startswith('## In short')), None)
    if start is None: return cells
    end = next((i for i in heads if i > start), len(cells))
    to = next(i for i, c in enumerate(cells) if i in heads or c.cell_type == 'code')
    return cells[:to] + cells[start:end] + cells[to:start] + cells[end:]


def finished(nb, page, names, folder):
    """Give a processed notebook what smalldocs needs beyond Quarto's options:
    links in the new names, pictures as files with their alt texts, captions of Markdown tables."""
    up, with_modules = '../'*(len(page.parts) - 1), names | {m.rpartition('.')[2]: below(m, '.html') for m in modules()}
    n = 0
    if page.parts[0] == 'studies': nb.cells = result_first(nb.cells)
    for cell in nb.cells:
        if cell.cell_type == 'raw': cell.source = re.sub(r'^output-file:.*\n', '', cell.source, flags=re.M)
        if cell.cell_type == 'markdown':
            cell.source = linked(in_new_names(cell.source), up, with_modules, skip=str(page.with_suffix('.html')))
        if cell.cell_type != 'code': continue
        opts, _ = cell_options(cell.source)
        pics = tabs = 0
        # fastprogress's
        cell.outputs = [o for o in cell.get('outputs', []) if not re.fullmatch(r'\s*<style>.*</style>\s*',
                                                                               joined(o.get('data', {}).get('text/html',
                                                                                                            '')), re.S)]
        for out in cell.outputs:
            data = out.get('data', {})
            if 'image/png' in data:
                n += 1
                file = folder/'figures'/f'{page.stem}-{n}.png'
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(base64.b64decode(joined(data['image/png'])))
                alt = (caption(opts, 'fig-alt', pics) or caption(opts, 'fig-cap', pics)).replace('"', '”')
                shown = f'![{caption(opts, "fig-cap", pics)}]({up}figures/{file.name}){{fig-alt="{alt}"}}'
                out.data = {'text/markdown': shown}
                pics += 1
            elif 'text/html' in data and '<table' in joined(data['text/html']):
                out.data = {'text/html': table_html(joined(data['text/html']), caption(opts, 'tbl-cap', tabs))}
                tabs += 1
            elif 'text/markdown' in data:
                text = linked(in_new_names(joined(data['text/markdown'])), up, names)
                if re.search(r'^\|', text, re.M):
                    text = with_caption(text, caption(opts, 'tbl-cap', tabs))
                    tabs += 1
                out.data = {'text/markdown': text}
        # said above; smalldocs need not say it again
        if 'fig-cap' in opts or 'tbl-cap' in opts or 'fig-alt' in opts:
            cell.source = re.sub(r'^#\|\s*(fig-cap|fig-alt|tbl-cap)\b.*\n(#\|\s+(-|  ).*\n)*', '', cell.source,
                                 flags=re.M)
    return nb


def with_caption(text, cap):
    "Markdown whose first table has a caption, which has to stand right below it."
    return re.sub(r'((?:^\|.*\n?)+)', lambda m: f'{m[1].rstrip()}\n\n: {cap}\n', text, count=1,
                  flags=re.M) if cap else text


def table_html(text, cap=''):
    "A table of pandas without its inline styles, with its caption."
    soup = BeautifulSoup(text, 'html.parser')
    for s in soup.find_all('style'):
        if 'dataframe' in s.get_text() or 'progress' in s.get_text(): s.decompose()
    for t in soup.find_all('table'):
        t.attrs.pop('border', None)
        if cap and not t.caption: t.insert(0, BeautifulSoup(f'<caption>{html.escape(cap)}</caption>', 'html.parser'))
    for t in soup.find_all(['tr', 'th', 'td']):
        t.attrs.pop('style', None) if t.get('style', '').startswith('text-align') else None
    return str(soup)


def source_page(module):
    "A module's source as a page; line 12 is `#L-12`."
    from smalldocs.highlight import highlight
    lines, name = highlight((ROOT/PACKAGE/below(module, '.py')).read_text(),
                            'python').split('\n'), module.rpartition('.')[2]
    code = '\n'.join(f'<span id="L-{i}"></span>{line}' for i, line in enumerate(lines, 1))
    up = '../'*(module.count('.') + 1)
    return (f'---\ntitle: "Source of {PACKAGE}.{module}"\nsearch: false\ntoc: false\n---\n\n[Documentation of '
            f'`{name}`]({up}{below(module)}.ipynb)\n\n'
            f'```{{=html}}\n<div class="sourceCode source-file"><pre class="sourceCode '
            f'python"><code>{code}</code></pre></div>\n```\n')


def present(menu, folder):
    "A menu without the pages that are not there."
    if isinstance(menu, dict): return {k: present(v, folder) for k, v in menu.items()}
    return [present(e, folder) for e in menu if not isinstance(e, str)
            or (folder/e).exists()] if isinstance(menu, list) else menu


def stage(folder, out):
    "Fill `folder` with what smalldocs reads."
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(NBS, folder, ignore=shutil.ignore_patterns('*.ipynb', '*.lua', '.*', '__pycache__', 'results'))
    names = addresses()
    for path in notebooks():
        page = page_name(path)
        (folder/page).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(finished(processed(NBS/path), page, names, folder), folder/page)
    for module in modules():
        page = folder/'source'/below(module, '.md')
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(source_page(module))
    options = yaml.safe_load((folder/'_quarto.yml').read_text())
    # they are for Quarto: smalldocs has no cells around headings
    options.pop('filters')
    (folder/'_quarto.yml').write_text(yaml.safe_dump(options, sort_keys=False))
    menu = yaml.safe_load(in_new_names((folder/'sidebar.yml').read_text()))
    (folder/'sidebar.yml').write_text(yaml.safe_dump(present(menu, folder), sort_keys=False))
    project = import_module('nbdev.config').get_config(ROOT)
    (folder/'nbdev.yml').write_text(json.dumps(dict(project={'output-dir': str(out)},
                                                    website=dict(title=project.title,
                                                                 description=project.description))))

# ------------------------------------------------------------------ HTML

THEME = """(function(){var d=document.documentElement,s=null;try{s=localStorage.getItem('smalldocs-scheme')}catch(e){}
var dark=s?s==='alternate':matchMedia('(prefers-color-scheme: dark)').matches;
var on=document.querySelectorAll('link.quarto-color-scheme')[dark?1:0];
if(dark){d.dataset.scheme='alternate';d.classList.add('quarto-dark')}
on.media='all';document.write(on.outerHTML.replace('data-href','href'));on.remove()})();"""


def one_theme(soup):
    """Fetch the theme that is shown, before the page is painted; the other one waits until it is chosen.
    Without scripts the page is light."""
    links = soup.select('link.quarto-color-scheme')
    for old in soup.find_all('script', string=re.compile('smalldocs-scheme')): old.decompose()
    plain = soup.new_tag('noscript')
    plain.append(soup.new_tag('link', rel='stylesheet', href=links[0]['href']))
    for link in links: link['data-href'] = link.attrs.pop('href')
    script = soup.new_tag('script')
    script.string = THEME
    links[-1].insert_after(script, plain)


def mathml(span):
    """Show a formula without a script:
    TeX becomes MathML, spaced as in TeX after a logarithm, around a set difference and in bars."""
    from latex2mathml.converter import convert
    tex = span.get_text().strip()[2:-2].strip()                                           # without \\( and \\)
    spaced = re.sub(r'\\(ln|log)(?=\s|\\(?!left|big))', r'\\\1\\,', tex)
    text = convert(spaced, display='block' if 'display' in span['class'] else 'inline')
    span.clear()
    text = text.replace('<mi>&#x029F5;</mi>', '<mo>&#x2216;</mo>').replace('<mo stretchy="false">&#x0007C;</mo>',
                                                                           '<mi>|</mi>')
    span.append(BeautifulSoup(text, 'html.parser').math)
    span.math['alttext'] = tex


FIGURES = re.compile(r'[-+−±~≈<>≤≥\d.,:;%/×*()\[\]–—\s]*(e[-+]?\d+)?|nan|inf', re.I)


def placed(table):
    "The cells of a table, each with the first column that it stands in and the number of columns that it spans."
    taken, found = set(), []
    for r, row in enumerate(table.find_all('tr')):
        col = 0
        for cell in row.find_all(['th', 'td']):
            while (r, col) in taken: col += 1
            span = int(cell.get('colspan', 1))
            taken |= {(r + i, col + j) for i in range(int(cell.get('rowspan', 1))) for j in range(span)}
            found.append((cell, col, span))
            col += span
    return found


def one_head(table):
    "Pandas writes the names of the columns of an index below the other heads; they stand in line with them."
    rows = [tr.find_all('th') for tr in table.select('thead tr')]
    if len(rows) != 2 or len(rows[0]) != len(rows[1]): return
    pairs = [(a, a.get_text(strip=True), b.get_text(strip=True)) for a, b in zip(*rows)]
    if any(above and below for _, above, below in pairs): return
    for head, above, below in pairs: head.string = above or below
    rows[1][0].parent.decompose()


def in_line(table):
    """Say what styles.css needs: columns of figures and of words, heads of rows and of groups.
    A value that is missing becomes a dash."""
    one_head(table)
    cells, words = placed(table), set()
    for cell, col, _ in cells:
        text = cell.get_text(strip=True)
        if cell.name == 'td' and not cell.find(True) and text.lower() in ('', 'nan', 'nat', '<na>'): cell.string = '–'
        if cell.name == 'td' and not FIGURES.fullmatch(text): words.add(col)
    for cell, col, span in cells:
        # .51 [.50, .52] stays on a line
        for t in cell.find_all(string=re.compile(r'\d (\[|±)')) if col in words else []:
            t.replace_with(re.sub(r'(?<=[\d,±]) (?=[-+−±\d.[])', '\xa0', t))
        left = col in words or cell.name == 'th' and not cell.find_parent('thead')
        kind = 'group' if span > 1 else 'head' if col == 0 else 'words' if left else 'figures'
        cell['class'] = [*cell.get('class', []), kind]
    if max(col + span for _, col, span in cells) > 7: table['class'] = [*table.get('class', []), 'many']


def boxed(soup, e, name, cls, tag='div'):
    "Put what may be wider than the page into a box that scrolls by itself, also from the keyboard."
    e.wrap(soup.new_tag(tag, attrs={'class': cls, 'tabindex': '0', 'role': 'group', 'aria-label': name}))
    return e.parent


def tables(soup):
    "Tables in boxes, with their captions outside of them, where they stay in sight."
    for table in soup.select('main table'):
        if not table.find('td'): continue
        in_line(table)
        if 'sd-table' in table.parent.get('class', []): table.parent.unwrap()
        cap = table.caption and table.caption.extract()
        # behind column-page-… smalldocs.js hides the contents list
        box = boxed(soup, table, cap.get_text() if cap else 'Table', 'scrolls column-page-table')
        if not cap: continue
        cap.name = 'figcaption'
        box.wrap(soup.new_tag('figure', attrs={'class': 'captioned'})).insert(0, cap)


def size(path):
    "The width and height of a picture."
    data = path.read_bytes()
    if path.suffix == '.png': return struct.unpack('>II', data[16:24])
    return [round(float(x)) for x in re.search(r'viewBox=["\'][\d.]+ [\d.]+ ([\d.]+) ([\d.]+)', data.decode()).groups()]


def pictures(soup, folder):
    "Pictures with their sizes, so that nothing moves while they load, and wide ones in boxes."
    for img in soup.select('main img'):
        img['width'], img['height'] = size(folder/img['src'])
        if img['width'] > 640: boxed(soup, img, 'Picture', 'picture', 'span')


def long_lines(code):
    "The HTML of some code with its lines marked that may not fit: styles.css wraps them below their indentation."
    def each_line(m):
        return '\n'.join(f'<span class="{m[1]}">{line}</span>' if line else '' for line in m[2].split('\n'))
    lines = re.sub(r'<span class="(\w+)">([^<]*)</span>', each_line, code).split('\n')
    for i, line in enumerate(lines):
        text = html.unescape(re.sub('<[^>]+>', '', line))
        if len(text) > 80:
            lines[i] = f'<span class="long" style="--indent: {len(text) - len(text.lstrip()) + 4}ch">{line}</span>'
    return '\n'.join(lines)


PRE = r'(<pre\b[^>]*>(?:<code\b[^>]*>)?){}((?:</code>)?</pre>)'


def set_aside(text):
    """A page without its code, which is most of it and needs no more than marks on long lines, and the code:
    what stands in each `<pre>`."""
    code = []

    def emptied(m):
        code.append(long_lines(m[2]) if 'sourceCode' in m[1] else m[2])
        return m[1] + m[3]
    return re.sub(PRE.format('(.*?)'), emptied, text, flags=re.S), code


def put_back(text, code):
    "A page with its code."
    each = iter(code)
    return re.sub(PRE.format(''), lambda m: f'{m[1]}{next(each)}{m[2]}', text)


def menus(soup):
    "The first thing that the keyboard reaches is a link to the text. What opens and shuts is a button."
    soup.body.insert(0, BeautifulSoup('<a class="skip-link" href="#quarto-document-content">Skip to content</a>',
                                      'html.parser'))
    soup.main['tabindex'] = '-1'
    for a in soup.select('#quarto-sidebar a[data-bs-toggle], .quarto-color-scheme-toggle'):
        a.name, a['type'] = 'button', 'button'
        for attr in ('href', 'role'): a.attrs.pop(attr, None)
        a['class'] = [*a['class'], 'plain']
        if 'title' in a.attrs: a['aria-label'] = a['title']
        if 'data-bs-target' in a.attrs: a['aria-controls'] = a['data-bs-target'][1:]
    # the name of a group of pages, which leads nowhere
    for head in soup.select('#quarto-sidebar a[href=""]'):
        head.name, head.attrs = 'span', {'class': 'sidebar-group'}
    for toggle in soup.select('#quarto-sidebar .sidebar-item-toggle'):
        head = toggle.find_previous_sibling()
        toggle['aria-label'] = f'Pages of {head.get_text(strip=True)}'
        # the name beside it does the same
        if head.name == 'button': toggle.attrs |= {'tabindex': '-1', 'aria-hidden': 'true'}


def improve(text, folder):
    """One page's HTML:
    nothing from elsewhere, maths without scripts, boxes that scroll, what screen readers and keyboards need."""
    soup = BeautifulSoup(text, 'html.parser')
    for e in soup.select('link[href*=katex], script[src*=katex]'): e.decompose()
    one_theme(soup)
    menus(soup)
    for span in soup.select('main span.math'): mathml(span)
    tables(soup)
    pictures(soup, folder)
    for scrolls in soup.select('main pre, main span.math.display'): scrolls['tabindex'] = '0'
    return soup


MORE_NAMES = {                                         # of the glossary's terms, besides those that stand in it
    'u1 to u5': ['u1–u5', 'u1', 'u2', 'u3', 'u4', 'u5'],
    'Held-out rows': ['held-out training rows', 'rows held out', 'rows that were held out'],
    'Logits': ['logit'], 'probit': ['ordered probit'], 'MSE': ['mean squared error'],
    'RMSE': ['root mean squared error'],
    'NLL': ['negative log-likelihood'], 'nats': ['nat'], 'Calibration': ['calibrated'],
    'Prediction set': ['sets of neighbouring levels'], "Holm's correction": ["Holm's method"], 'Search': ['searches']}
# where the same words mean something else, on every page or on one
ORDINARY = {
    '': ['are level with', 'below the level', 'fold the', 'cuts it', 'to score', 'should score', 'scores every',
         'scores it', 'History and Context',
         'that score', 'nonconformity score', 'member of a list', 'value for each member'],
    'models/scores.html': ['member', 'members'], 'studies/top_50_for_every_user.html': ['score', 'scores']}
NO_PROSE = set('header nav h1 h2 h3 h4 h5 h6 pre code a table figure figcaption button summary math script '
               'style'.split())


def within(e, names):
    "Whether an element or a text stands in an element of one of these names."
    return any(up.name in names for up in e.parents)


def in_prose(text):
    "Whether a text stands in a paragraph or in an entry of a list, and in nothing that is no prose."
    classes = [up.get('class', ()) for up in text.parents]
    return within(text, {'p', 'li'}) and not within(text, NO_PROSE) and not any('cell-output' in c
                                                                                and 'cell-output-markdown' not in c
                                                                                for c in classes)


def same(name):
    "A name as it is looked up, whatever its case, hyphens and apostrophe."
    return re.sub(r'[\s-]+', ' ', name.replace('’', "'")).lower()


def named(term, place, others=()):
    "The names of a term, in the singular and the plural, each with the term and its place."
    return {name + s: (term, *place) for name in (term, *others)
            for s in ('', 's')} | {name: (term, *place) for name in MORE_NAMES.get(term, [])}


def entries(soup):
    """Give the entries of the glossary ids; the names of its terms are returned: {name: (term, id, first sentence)}.
    An entry begins with its terms in bold and with other
    names of the first one. Terms in italics belong to it, too, unless they have an entry of their own."""
    def split(text): return [t for t in re.split(r',? (?:and|or|also called) |, ', text.replace('’', "'")) if t]
    bold, italic = {}, {}
    for p in soup.select('main p:has(> strong:first-child)'):
        head, text = re.sub(r'\s+', ' ', p.get_text()).split('. ', 1)
        first, *more = split(p.strong.get_text())
        p['id'] = re.sub(r'\W+', '-', first.lower())
        sentence = re.match(r'.*?[.?](?= |$)', text)[0]
        # without the marks of maths and without references
        place = p['id'], re.sub(r'\\[()]| \([A-Z][^)]*\)', '', sentence)
        bold |= named(first, place, split(head.removeprefix(p.strong.get_text())))
        for term in more: bold |= named(term, place)
        for e in p.select('em'): italic |= named(e.get_text(), place)
    return italic | bold


def any_of(names):
    "A pattern for names in a text, the longest first. NLL and the like are no names in small letters."
    def one(name):
        text = re.sub(r'\\?[ -]', r'[\\s-]+', re.escape(name)).replace("'", "['’]")
        return text if re.search('[A-Z]{2}', name) else f'(?i:{text})'
    return re.compile(rf'(?<![\w-])(?:{"|".join(one(name) for name in sorted(names, key=len, reverse=True))})(?![\w-])')


def link_terms(soup, terms, href):
    "Link each term of the glossary where the prose of a page first uses it."
    terms = terms | {name: None for page in ('', href) for name in ORDINARY.get(page, [])}
    pattern, meant = any_of(terms), {same(name): term for name, term in terms.items()}
    glossary = posixpath.relpath('glossary.html', posixpath.dirname(href))
    seen = {None}
    for text in soup.main.find_all(string=True):
        if type(text) is not NavigableString or not pattern.search(text) or not in_prose(text): continue
        parts, end = [], 0
        for m in pattern.finditer(text):
            term = meant[same(m[0])]
            if term in seen: continue
            seen.add(term)
            a = soup.new_tag('a', attrs={'class': 'term', 'href': f'{glossary}#{term[1]}', 'title': term[2]})
            a.string = m[0]
            parts += [text[end:m.start()], a]
            end = m.end()
        if parts: text.replace_with(*parts, text[end:])


def search_entries(soup, href):
    "What search finds of a page: the prose and tables under each heading, without code, and maths as an ellipsis."
    main = soup.select_one('main')
    title = main.select_one('h1').get_text(strip=True)
    sections = [('', '', [])]

    def prose(e):
        texts = [t for t in e.find_all(string=True) if not within(t, {'pre', 'style'})
                 and 'source' not in t.parent.get('class', ())]
        return re.sub('…+', '…', ''.join('…' if within(t, {'math'}) else t for t in texts))
    for e in main.find_all(['h2', 'h3', 'p', 'li', 'td', 'th', 'figcaption', 'caption']):
        if e.name in ('h2', 'h3'):
            sections.append((e.get('id') or e.get('data-anchor-id') or e.parent.get('id', ''),
                             e.get_text(' ', strip=True), []))
        elif not within(e, {'nav', 'li', 'td'}): sections[-1][2].append(prose(e))
    tidy = [(i, head, re.sub(r'\s+', ' ', ' '.join(texts)).strip()) for i, head, texts in sections]
    return [dict(objectID=f'{href}#{i}', href=f'{href}#{i}' if i else href, title=title, section=head, text=text) for i,
            head, text in tidy if head or text]


# search finds the words as they are typed, in titles and headings first
CHANGES = {
    'threshold: 0.3,': 'threshold: 0.3, useExtendedSearch: true, ignoreFieldNorm: true,',
    '{ name: "title", weight: 2 }, { name: "section", weight: 2 }, { name: "text", weight: 1 }':
        '{ name: "section", weight: 4 }, { name: "title", weight: 2 }, { name: "all", weight: 1, getFn: (e) => '
        '[e.title, e.section, e.text].join(" ") }',
    'fuse.search(q, { limit })': 'fuse.search(q.split(/\\s+/).map((w) => `\'${w}`).join(" "), { limit })',
    # the other theme is fetched when it is chosen, and shown when it is there
    'l.media = l.classList.contains("quarto-color-alternate") === alt ? "all" : "not all"; });\n    '
    'setTimeout(markDark, 50);':
        'const on = l.classList.contains("quarto-color-alternate") === alt, show = () => { l.media = "all"; '
        'other(l).media = "not all"; markDark(); };\n'
        '      if (on && l.href) show(); else if (on) { l.media = "all"; l.onload = show; l.href = l.dataset.href; } '
        '});',
    'const setScheme = (alt) => '
    '{': 'const other = (l) => $$("link.quarto-color-scheme").find((o) => o !== l);\n  const setScheme = (alt) => {',
    'if (glass) glass.classList.toggle("show", show);':
        'if (glass) glass.classList.toggle("show", show);\n    $$(".quarto-btn-toggle").forEach((b) => '
        'b.setAttribute("aria-expanded", show));'}


def changed(js):
    "smalldocs's script with our changes."
    for was, now in CHANGES.items():
        if js.count(was) != 1: raise ValueError(f'smalldocs.js has changed: {was!r} is not in it once')
        js = js.replace(was, now)
    return js


def few_icons(out):
    "Leave only those of the 2,000 icons in the site that its pages use."
    from fontTools.subset import main as subset
    folder, css = out/'site_libs/bootstrap-icons', (out/'site_libs/bootstrap-icons/bootstrap-icons.min.css').read_text()
    names = {name for page in out.rglob('*.html') for name in re.findall(r'\bbi-([\w-]+)', page.read_text())}
    rules = {name: rule for rule, name in re.findall(r'(\.bi-([\w-]+)::before\{[^}]*\})', css) if name in names}
    codes = set(re.findall(r'content: ?"\\(f\w+)"',
                           ''.join(rules.values()) + (out/'site_libs/smalldocs.css').read_text()))
    head = re.sub(r'src:[^;}]*', 'src:url("fonts/bootstrap-icons.woff") format("woff")', css[:css.index('.bi-')])
    (folder/'bootstrap-icons.min.css').write_text(head + ''.join(rules.values()))
    font = folder/'fonts/bootstrap-icons.woff'
    subset([str(font), f'--unicodes={",".join(sorted(codes))}', '--flavor=woff', f'--output-file={font}'])
    (folder/'fonts/bootstrap-icons.woff2').unlink()


def build(out=OUT, folder=STAGE):
    "Build the site; what smalldocs has to say about it is returned."
    from smalldocs.site import build as smalldocs
    stage(folder, out)
    site = smalldocs(folder, quiet=True)
    # fonts from elsewhere
    for css in (out/'site_libs/themes').rglob('*.css'):
        css.write_text(re.sub(r'@import url\(https:[^)]*\);?', '', css.read_text()))
    (script := out/'site_libs/smalldocs.js').write_text(changed(script.read_text()))
    found, glossary = [], out/'glossary.html'
    terms = entries(soup := BeautifulSoup(glossary.read_text(), 'html.parser'))
    glossary.write_text(str(soup))
    for page in (out/p.out for p in site.pages.values()):
        href = str(page.relative_to(out))
        text, code = set_aside(page.read_text())
        soup = improve(text, page.parent)
        if not href.startswith(('source/', 'glossary', 'changelog')): link_terms(soup, terms, href)
        page.write_text(put_back(str(soup), code))
        if not href.startswith('source/'): found += search_entries(soup, href)
    (out/'search.json').write_text(json.dumps(found, ensure_ascii=False))
    few_icons(out)
    return site


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--readme', action='store_true', help='only README.md')
    args = parser.parse_args()
    write_readme()
    if args.readme: return
    site = build()
    for warning in site.warnings: print(warning, file=sys.stderr)
    print(f'{len(site.pages)} pages in {OUT.relative_to(ROOT)}/, beginning with index.html')
    return 1 if site.broken else 0


if __name__ == '__main__': sys.exit(main())
