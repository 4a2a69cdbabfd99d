"""The site in a browser: every page, light and dark, on a wide and a narrow screen. Chromium is the system's
(`apt-get install chromium`) or Playwright's; without one the
browser's tests are skipped, and those of the files remain."""
import functools
import http.server
import inspect
import json
import re
import shutil
import statistics
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import build
import matplotlib
import nbformat
import pytest
from bs4 import BeautifulSoup
from filelock import FileLock

PAGES = sorted([str(build.page_name(p).with_suffix('.html')) for p in build.notebooks()]
               + [f'source/{build.below(m)}.html' for m in build.modules()])
pytestmark = pytest.mark.slow(3)
# of matplotlib's fonts, so that it does not matter which ones a machine has
FONTS = Path(matplotlib.get_data_path())/'fonts/ttf'
FACES = ''.join(f"@font-face {{ font-family: {name}; font-weight: {weight}; src: url('/{file}.ttf') }}\n" for name,
                weight, file in (
    ('wide', 400, 'DejaVuSans'), ('wide', 700, 'DejaVuSans-Bold'), ('narrow', 400, 'STIXGeneral'),
    ('narrow', 700, 'STIXGeneralBol')))
FLAGS = ('--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update '
         '--disable-sync').split()


@pytest.fixture(scope='session')
def site(tmp_path_factory, worker_id):
    "The site, built once for all of pytest's processes: (folder, what smalldocs warned of)."
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == 'master' else base.parent
    with FileLock(shared/'site.lock'):
        if not (shared/'warnings.json').exists():
            warnings = build.build(shared/'_docs', shared/'_stage').warnings
            (shared/'warnings.json').write_text(json.dumps(warnings))
    return shared/'_docs', json.loads((shared/'warnings.json').read_text())


@pytest.fixture(scope='session')
def address(site):
    "Where the site is served."
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
        def translate_path(self, path):
            return str(FONTS/path[1:]) if path.endswith('.ttf') else super().translate_path(path)
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=site[0]))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}/'
    server.shutdown()


@pytest.fixture(scope='session')
def browser():
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        found = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))),
                     p.chromium.executable_path)
        if not Path(found).exists():
            pytest.skip('needs Chromium: `apt-get install chromium`, or `playwright install chromium`')
        chromium = p.chromium.launch(executable_path=found, args=FLAGS)
        yield chromium
        chromium.close()


def watched(context, address):
    "A new page that notes what goes wrong there: errors on the console, requests that fail, requests that leave."
    page = context.new_page()
    page.wrong, page.fetched = [], []
    page.on('request', lambda r: page.fetched.append(r.url))
    page.on('console', lambda m: m.type == 'error' and page.wrong.append(f'console: {m.text}'))
    page.on('pageerror', lambda e: page.wrong.append(f'error: {e}'))
    page.on('requestfailed', lambda r: page.wrong.append(f'failed: {r.url}'))
    page.on('request', lambda r: r.url.startswith((address, 'data:')) or page.wrong.append(f'leaves: {r.url}'))
    page.on('response', lambda r: r.status >= 400 and page.wrong.append(f'{r.status}: {r.url}'))
    return page


def context_of(browser, width=1280, **options):
    return browser.new_context(viewport=dict(width=width, height=900), reduced_motion='reduce',
                               **dict(color_scheme='light') | options)


@pytest.fixture
def opened(browser, address):
    "Opens a page as somebody does who comes for the first time."
    contexts = []

    def open_(path, *args, **options):
        contexts.append(context_of(browser, *args, **options))
        page = watched(contexts[-1], address)
        page.goto(address + path, wait_until='load')
        return page

    yield open_
    for c in contexts: c.close()


@pytest.fixture(scope='module')
def visitor(browser, address):
    "One who goes from page to page: what all pages share is fetched once."
    with context_of(browser) as context: yield context


def use_font(page, name):
    "Show a page's text in one of the two fonts; code keeps its own, whose letters are about as wide everywhere."
    page.evaluate("""async ([faces, name]) => {
        const style = document.head.appendChild(document.createElement('style'));
        style.textContent = `${faces} :not(code, pre, code *, pre *, math, math *) { font-family: ${name} !important }`;
        await Promise.all([400, 700].map(weight => document.fonts.load(`${weight} 1em ${name}`))) }""", [FACES, name])
    assert page.evaluate("name => getComputedStyle(document.querySelector('main p, main h1')).fontFamily === name && "
                         "document.fonts.check(`1em ${name}`)", name)


ALIKE = '#quarto-header, #quarto-sidebar, #TOC, pre code, tbody tr:nth-child(n+4)'
# of each kind of page one, which axe reads as a whole
WHOLE = 'training/losses.html', 'index.html', 'source/training/losses.html'
COLOURS = ['color-contrast', 'link-in-text-block']


def violations(page, colours=True, others=True):
    """What axe finds serious or critical. It takes its time for each word.
    What looks the same everywhere, it reads on three pages only: menus, code, and the rows of a table after the
    third."""
    from axe_playwright_python.sync_playwright import Axe
    context = None if page.url.endswith(WHOLE) else {'exclude': [[part] for part in ALIKE.split(', ')]}
    # 24 pixels for a finger
    rules = {'target-size': dict(enabled=True)} | {name: dict(enabled=colours) for name in COLOURS}
    only = {} if others else dict(runOnly=dict(type='rule', values=COLOURS))
    found = Axe().run(page, context, options=dict(resultTypes=['violations'], rules=rules)
                      | only).response['violations']
    return [f"{v['id']}: {n['target']} {n['html'][:120]} {n.get('failureSummary', '')[:200]}" for v in found
            if v['impact'] in ('serious', 'critical') for n in v['nodes'][:5]]


def looks(soup):
    """The kinds of text on a page that may have colours of their own:
    the names and classes of each element and of the one around it, and what has a style of its own."""
    def kind(e): return e.name, *sorted(e.get('class', []))
    return {(kind(e.parent), kind(e), e.get('style')) for e in soup.main.find_all(True)
            if e.find(string=True, recursive=False) and not e.find_parent(['pre', 'math'])}


@functools.lru_cache
def coloured(folder):
    """Pages that show each kind of text at least once, those with the most kinds first:
    their colours are those of all pages."""
    left = {path: looks(soup) for path, soup in pages_of(folder).items()}
    chosen, seen = set(WHOLE), set().union(*(left.pop(path) for path in WHOLE))
    while left:
        path = max(left, key=lambda p: (len(left[p] - seen), p))
        if not left[path] - seen: break
        chosen.add(path)
        seen |= left.pop(path)
    return chosen


TOO_WIDE = """() => [...document.querySelectorAll('body *')].filter(e => {
    const r = e.getBoundingClientRect();
    return r.width && r.height && r.right > innerWidth + 1 &&
        !e.closest('pre, .scrolls, .picture, .math.display, #quarto-sidebar, .visually-hidden');
}).map(e => e.outerHTML.slice(0, 120))"""
IMAGES = """() => [...document.images].filter(i => !i.alt.trim() || /&(quot|amp|lt|gt|#)/.test(i.alt) || !i.complete ||
    !i.naturalWidth || !i.getAttribute('width') || !i.getAttribute('height'))
    .map(i => i.outerHTML.slice(0, 200))"""
MATHS = ("() => [...document.querySelectorAll('span.math')]"
         ".filter(m => !m.querySelector('math') || /\\\\/.test(m.innerText)).map(m => m.outerHTML.slice(0, 200))")
WIDTH = 'document.documentElement.scrollWidth'
CUT = ("() => [...document.querySelectorAll('.scrolls')]"
       ".filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.ariaLabel)")


def assert_fits(page):
    """Nothing is wider than a screen or paper, and tables are not cut on a wide screen and on paper.
    The page is left as a telephone shows it."""
    page.set_viewport_size(dict(width=670, height=844))
    page.emulate_media(media='print')
    assert not page.evaluate(CUT) and page.evaluate(WIDTH) <= 670
    page.emulate_media(media='screen')
    for width in (1440, 1280, 360, 390):
        page.set_viewport_size(dict(width=width, height=844))
        assert page.evaluate(WIDTH) <= width
        assert width != 1440 or not page.evaluate(CUT), 'a table that does not fit'
    assert not page.evaluate(TOO_WIDE), 'wider than a telephone'


@pytest.mark.parametrize('path', [p for p in PAGES if not p.startswith('source/') or p in WHOLE])
def test_page_in_a_browser(path, visitor, address, site):
    """Pages of code are alike, so one of them is looked at. Colours, and the narrow font, in which everything has more
    room than in the wide one, are looked at on pages that show each kind of text."""
    page, colours = watched(visitor, address), path in coloured(site[0])
    page.goto(address + path, wait_until='load')
    assert page.title() and page.locator('main h1').count() >= 1
    assert not page.evaluate(MATHS), 'maths that is not rendered'
    assert not page.evaluate(IMAGES), 'pictures without size or alt text, or that do not load'
    use_font(page, 'wide')
    assert not violations(page, colours)
    assert_fits(page)
    if colours:
        use_font(page, 'narrow')
        assert_fits(page)
    page.emulate_media(color_scheme='dark')
    page.wait_for_function("document.documentElement.classList.contains('quarto-dark')")
    assert not colours or not violations(page, others=False)
    assert not page.wrong
    page.close()


def test_a_fault_of_a_page_is_found(opened):
    page = opened('index.html', width=390)
    assert not page.evaluate(TOO_WIDE) and not page.evaluate(IMAGES) and not page.evaluate(MATHS)
    page.evaluate("""() => { document.querySelector('main').insertAdjacentHTML('beforeend',
        '<div style="width: 500px; height: 9px">wide</div><img src="none.png" alt="">' +
        '<span class="math inline">x</span><p style="color: #aaa; background: #fff">pale</p>') }""")
    page.wait_for_timeout(200)
    assert len(page.evaluate(TOO_WIDE)) == len(page.evaluate(IMAGES)) == len(page.evaluate(MATHS)) == 1
    assert any('color-contrast' in v for v in violations(page)) and any('404' in w for w in page.wrong)


@pytest.mark.parametrize('path', ['index.html', 'studies/which_loss_wins.html'])
@pytest.mark.parametrize('width', [390, 1440])
def test_nothing_moves_while_a_page_loads(path, width, opened):
    shift = """() => new Promise(done => { let sum = 0;
        new PerformanceObserver(l => l.getEntries().forEach(e => sum += e.value))
            .observe({type: 'layout-shift', buffered: true});
        setTimeout(() => done(sum), 500) })"""
    assert opened(path, width).evaluate(shift) < .1


def test_the_keyboard_reaches_the_text_and_the_sections_of_the_menu(opened):
    page = opened('index.html')
    page.keyboard.press('Tab')
    assert page.evaluate('document.activeElement.innerText') == 'Skip to content'
    page.keyboard.press('Enter')
    assert page.evaluate('document.activeElement.tagName') == 'MAIN'
    section = page.get_by_role('button', name='Studies', exact=True)
    assert section.get_attribute('aria-expanded') == 'true'
    section.focus()
    page.keyboard.press('Enter')
    page.locator('#quarto-sidebar a[href$="which_loss_wins.html"]').wait_for(state='hidden')
    assert section.get_attribute('aria-expanded') == 'false'


@pytest.mark.parametrize('scheme, theme', [('light', 'cosmo'), ('dark', 'darkly')])
def test_one_theme_is_fetched_until_the_other_is_chosen(scheme, theme, opened):
    page = opened('index.html', color_scheme=scheme)
    assert [url.split('/')[-1].split('.')[0] for url in page.fetched if '/themes/' in url] == [theme]
    assert page.evaluate("document.documentElement.classList.contains('quarto-dark')") == (scheme == 'dark')
    page.click('.quarto-color-scheme-toggle')
    is_dark = "document.documentElement.classList.contains('quarto-dark')"
    page.wait_for_function(f"{is_dark} == {str(scheme == 'light').lower()}")
    assert len([url for url in page.fetched if '/themes/' in url]) == 2 and not page.wrong


def test_a_page_is_read_without_scripts(opened):
    page = opened('models/scores.html', java_script_enabled=False)
    assert page.locator('main math').count()
    assert page.locator('main h1').bounding_box()['width'] < 1000, 'without a theme'


def test_a_wide_table_keeps_its_caption_and_the_heads_of_its_rows_in_sight(opened):
    page = opened('studies/which_loss_wins.html', width=390)
    table = page.locator('figure.captioned').first
    x = lambda e: e.bounding_box()['x']
    head, cell, caption = table.locator('tbody .head').first, table.locator('td').last, table.locator('figcaption')
    before = x(head), x(cell), x(caption)
    table.locator('.scrolls').evaluate('e => e.scrollLeft = 100')
    assert (x(head), x(cell), x(caption)) == (before[0], before[1] - 100, before[2])
    colour = page.evaluate('getComputedStyle(document.body).backgroundColor')
    assert head.evaluate('e => getComputedStyle(e).backgroundColor') == colour, 'figures show through'


def test_a_table_that_does_not_fit_is_found(opened):
    page = opened('index.html', width=1440)
    use_font(page, 'narrow')
    page.locator('.scrolls td').first.evaluate("e => e.textContent = 'x'.repeat(300)")
    with pytest.raises(AssertionError): assert_fits(page)


def test_paper_shows_the_text_alone(opened):
    page = opened('index.html', width=670)
    page.emulate_media(media='print')
    assert page.locator('main h1').is_visible()
    assert not any(page.locator(part).first.is_visible()
                   for part in ('#quarto-header', '#quarto-sidebar', '#TOC', '.page-navigation'))


def test_search_finds_cross_entropy(opened):
    page = opened('index.html')
    page.fill('#quarto-search input', 'cross-entropy')
    first = page.locator('.search-result').first
    first.wait_for()
    assert 'cross-entropy' in page.locator('.smalldocs-search-results').inner_text().lower()
    assert not violations(page)
    assert '\\' not in page.locator('.smalldocs-search-results').inner_text(), 'TeX in an excerpt'
    with page.expect_navigation(): first.click()
    assert 'cross-entropy' in page.locator('main').inner_text().lower() and not page.wrong


@pytest.mark.parametrize('words, where', [('fit_stack', 'training/stack.html#fit_stack'),
                                          ('CumulativeLogit', 'models/heads.html#cumulativelogit'),
                                          ('glossary', 'glossary.html')])
def test_search_goes_to_the_place_that_has_the_name(opened, words, where):
    page = opened('index.html')
    page.fill('#quarto-search input', words)
    page.locator('.search-result').first.wait_for()
    assert page.locator('.search-result').first.get_attribute('href').removeprefix('./').startswith(where)


def test_search_says_that_there_is_nothing(opened):
    page = opened('index.html')
    page.fill('#quarto-search input', 'zzqqx')
    page.locator('.search-none').wait_for()
    assert not page.locator('.search-result').count()


def test_menu_on_a_telephone(opened):
    page = opened('index.html', width=390)
    link = page.locator('#quarto-sidebar a[href$="training/losses.html"]')
    assert not page.locator('#quarto-sidebar').evaluate('e => e.classList.contains("show")')
    assert not page.locator('.navbar-toggler').count(), 'a second menu'
    page.click('.quarto-btn-toggle')
    link.wait_for(state='visible')
    assert page.locator('.quarto-btn-toggle').get_attribute('aria-expanded') == 'true'
    page.wait_for_timeout(300)
    first, head = (page.locator(f'#quarto-{part}').first.bounding_box() for part in ('sidebar a', 'header'))
    assert first['y'] >= head['height'], 'the menu begins behind the header'
    assert not violations(page)
    with page.expect_navigation(): link.click()
    assert page.url.endswith('training/losses.html') and not page.wrong


def test_theme_is_kept(opened):
    page = opened('index.html')
    page.click('.quarto-color-scheme-toggle')
    page.wait_for_function("document.documentElement.classList.contains('quarto-dark')")
    page.reload()
    assert page.evaluate("document.documentElement.classList.contains('quarto-dark')")


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_a_term_of_the_glossary_looks_like_the_text_around_it_and_shows_where_the_keyboard_is(scheme, opened):
    page = opened('index.html', color_scheme=scheme)
    term = page.locator('main a.term').first
    style = '(e, [name, up]) => getComputedStyle(up ? e.parentElement : e)[name]'
    def same_colour(): return term.evaluate(style, ['color', False]) == term.evaluate(style, ['color', True])
    assert same_colour() and term.evaluate(style, ['textDecorationStyle', False]) == 'dotted'
    term.focus()
    page.keyboard.press('Shift+Tab')
    page.keyboard.press('Tab')
    assert term.evaluate('e => e === document.activeElement') and term.evaluate(style, ['outlineWidth', False]) == '3px'
    page.emulate_media(media='print', color_scheme=scheme)
    page.evaluate('document.activeElement.blur()')
    assert same_colour() and term.evaluate(style, ['textDecorationLine', False]) == 'none'


def in_line(text):
    soup = BeautifulSoup(text, 'html.parser')
    build.in_line(soup.table)
    return soup


def test_the_result_of_a_study_comes_first():
    md, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    cells = [md('# A study'), md('Why.'), code('import x'), md('## The question'), code('1'), md('## In short\n'),
             code('2'), md('## Sources')]
    assert [c.source for c in build.result_first(cells)] == ['# A study', 'Why.', '## In short\n', '2', 'import x',
                                                             '## The question', '1', '## Sources']
    assert build.result_first(cells[:5]) == cells[:5]


def test_figures_stand_right_words_left_and_a_missing_value_is_a_dash():
    soup = in_line('<table><thead><tr><th></th><th colspan="2">g</th><th>c</th></tr>'
                   '<tr><th></th><th>a</th><th>b</th><th>c</th></tr></thead>'
                   '<tbody><tr><th rowspan="2">r</th><td>1 ± 2</td><td>x</td><td>NaN</td></tr>'
                   '<tr><td>.5 [.4, .6]*</td><td>about .5 [.4, .6]</td><td></td></tr></tbody></table>')
    kinds = 'head group figures head figures words figures head figures words figures figures words figures'
    assert [e['class'][-1] for e in soup.select('th, td')] == kinds.split()
    assert [td.get_text() for td in soup.select('td')] == ['1 ± 2', 'x', '–', '.5 [.4, .6]*', 'about .5\xa0[.4,\xa0.6]',
                                                           '–']


def test_the_name_of_an_index_stands_in_line_with_the_other_heads():
    soup = in_line('<table><thead><tr><th></th><th>a</th></tr><tr><th>model</th><th></th></tr></thead>'
                   '<tbody><tr><th>x</th><td>1</td></tr></tbody></table>')
    assert [th.get_text() for th in soup.select('thead th')] == ['model', 'a'] and len(soup.select('thead tr')) == 1


def test_a_caption_belongs_to_its_markdown_table():
    assert build.with_caption('|a|\n|-|\n|1|\n\nafter', 'What it shows') == '|a|\n|-|\n|1|\n\n: What it shows\n\nafter'
    assert build.with_caption('no table', 'What it shows') == 'no table'


@pytest.mark.parametrize('tex, part', [(r'x_i', '<msub><mi>x</mi><mi>i</mi></msub>'),
                                       (r'\ln p', '<mi>ln</mi><mspace width="0.167em"></mspace><mi>p</mi>'),
                                       (r'N \setminus i', '<mo>∖</mo>')])
def test_a_formula_becomes_mathml(tex, part):
    span = BeautifulSoup(f'<span class="math inline">\\({tex}\\)</span>', 'html.parser').span
    build.mathml(span)
    assert part in str(span) and span.math['alttext'] == tex


def test_a_long_line_of_code_is_marked_with_its_indentation():
    text = f"a = 1\n    <span class=\"st\">'{'x' * 90}\ny'</span>"
    code, plain = (BeautifulSoup(f'<pre>{t}</pre>', 'html.parser') for t in (build.long_lines(text), text))
    assert code.get_text() == plain.get_text()
    assert [e['style'] for e in code.select('.long')] == ['--indent: 8ch'] and len(code.select('.st')) == 2


def test_code_is_set_aside_and_put_back():
    pre, other = '<pre class="sourceCode"><code>a <b>b</b>\n</code></pre>', '<pre>1\n\n2</pre>'
    text, code = build.set_aside(f'<p>x</p>{pre}<pre></pre>{other}')
    assert text == '<p>x</p><pre class="sourceCode"><code></code></pre><pre></pre><pre></pre>'
    assert code == ['a <b>b</b>\n', '', '1\n\n2']
    assert build.put_back(text.replace('<pre', '<pre tabindex="0"'),
                          code) == f'<p>x</p>{pre}<pre></pre>{other}'.replace('<pre', '<pre tabindex="0"')
    assert 'class="long"' in build.set_aside(f'<pre class="sourceCode"><code>{"x" * 90}</code></pre>')[1][0]


GLOSSARY = """<main><p><strong>Cumulative logit</strong>, also called ordered logit or proportional odds.
    The line has \\(K-1\\) <em>cuts</em> (<a>Heads</a>). A <em>probit</em> is like it.</p>
    <p><strong>Cross-entropy, NLL and nats</strong>. A
    loss. More.</p><p>Other text.</p><p><strong>Cuts</strong>. Borders between levels.</p></main>"""


def test_an_entry_of_the_glossary_has_an_id_and_its_terms_have_names():
    soup = BeautifulSoup(GLOSSARY, 'html.parser')
    found = build.entries(soup)
    assert [p.get('id') for p in soup.select('p')] == ['cumulative-logit', 'cross-entropy', None, 'cuts']
    for name in ('Cumulative logit', 'ordered logit', 'proportional odds', 'cumulative logits'):
        assert {build.same(k): v for k, v in found.items()}[name.lower()] == ('Cumulative logit', 'cumulative-logit',
                                                                              'The line has K-1 cuts.')
    assert found['probit'] == found['ordered probit'] == ('probit', 'cumulative-logit', 'The line has K-1 cuts.')
    assert found['nat'] == ('nats', 'cross-entropy', 'A loss.') and found['Cuts'][1] == 'cuts'


def linked_terms(text, page='studies/a.html'):
    "A page with its terms linked, and what is linked to where."
    soup, before = BeautifulSoup(f'<main>{text}</main>', 'html.parser'), BeautifulSoup(text, 'html.parser').get_text()
    build.link_terms(soup, build.entries(BeautifulSoup(GLOSSARY, 'html.parser')), page)
    assert soup.get_text() == before, 'the text has changed'
    return [(a.get_text(), a['href']) for a in soup.select('a.term')]


def test_a_term_is_linked_once_where_prose_first_uses_it():
    assert linked_terms('<p>The NLL in nats: <b>NLL</b> of cross-\nentropy.</p><li>A nat.</li>') == [
        ('NLL', '../glossary.html#cross-entropy'), ('nats', '../glossary.html#cross-entropy'),
        ('cross-\nentropy', '../glossary.html#cross-entropy')]
    assert linked_terms('<p>Cumulative logits have cuts.</p>',
                        'a.html') == [('Cumulative logits', 'glossary.html#cumulative-logit'),
                                      ('cuts', 'glossary.html#cuts')]


@pytest.mark.parametrize('text', ['<h2>NLL</h2>', '<p><code>NLL</code></p>', '<p><a href="x">NLL</a></p>',
                                  '<pre>NLL</pre>', '<table><td><p>NLL</p></td></table>', '<nav><li>NLL</li></nav>',
    '<figure><figcaption><p>NLL</p></figcaption></figure>', '<div class="cell-output"><p>NLL</p></div>',
    '<p><math><mi>NLL</mi></math></p>', '<header><p>NLL</p></header>', '<div>NLL</div>',
    '<p>nll, NLLoss, x-NLL, NLL-x, haircuts; a phrase cuts it</p>', '<p><!-- NLL --></p>'])
def test_other_text_is_not_linked_to_the_glossary(text):
    assert not linked_terms(text)
    linked = [('NLL', '../glossary.html#cross-entropy')]
    assert linked_terms(text + '<div class="cell-output cell-output-markdown"><p>NLL</p></div>') == linked


# tests that take a while to parse all pages, and share them
parsed = pytest.mark.xdist_group('parsed')


@functools.lru_cache
def pages_of(folder):
    return {str(p.relative_to(folder)): BeautifulSoup(p.read_text(), 'html.parser') for p in folder.rglob('*.html')}


@parsed
def test_links_and_anchors_resolve(site):
    pages = pages_of(site[0])
    ids = {name: {e['id'] for e in soup.select('[id]')} for name, soup in pages.items()}
    for name, soup in pages.items():
        for a in soup.select('a[href]'):
            if a['href'].startswith(('http://', 'https://', 'mailto:', 'data:')): continue
            target, anchor = urldefrag(urljoin(f'http://site/{name}', a['href']))
            target = unquote(target.removeprefix('http://site/')) or 'index.html'
            assert (site[0]/target).exists(), f'{name}: {a["href"]}'
            assert not anchor or target not in ids or unquote(anchor) in ids[target], f'{name}: {a["href"]}'
    assert not site[1], 'smalldocs warns'


@parsed
def test_every_entry_of_the_glossary_has_an_anchor_of_its_own_and_pages_that_link_it(site):
    pages = pages_of(site[0])
    glossary, ids = pages['glossary.html'], [e['id'] for e in pages['glossary.html'].select('[id]')]
    entries = [p.get('id') for p in glossary.select('main p:has(> strong)')]
    assert len(entries) > 25 and all(entries) and all(ids.count(e) == 1 for e in entries)
    assert {a['href'].split('glossary.html#')[1] for soup in pages.values()
            for a in soup.select('a.term')} == set(entries)


@parsed
def test_pages_link_terms_in_prose_alone(site):
    for name, soup in pages_of(site[0]).items():
        terms = soup.select('a.term')
        assert not terms or not name.startswith(('source/', 'glossary', 'changelog')), name
        assert not [a for a in terms
                    if a.find_parent(re.compile('^(h[1-6]|a|code|pre|table|nav|header|figcaption|button|math)$'))
                    or not a.find_parent(['p', 'li'])], name
        assert len({a.get_text().lower() for a in terms}) == len(terms) and all(a['title'].endswith(('.', '?'))
                                                                                for a in terms), name


@pytest.mark.parametrize('path, word', [('studies/which_loss_wins.html', 'NLL'),
                                        ('studies/which_loss_wins.html', 'strangers'),
    ('studies/million.html', 'implicit sets'), ('studies/plan.html', 'Holm’s method'), ('index.html', 'nats')])
@parsed
def test_a_page_links_a_term_where_it_first_uses_it(path, word, site):
    main = pages_of(site[0])[path].main
    first = next(t for t in main.find_all(string=re.compile(rf'\b{word}\b')) if t.find_parent(['p', 'li'])
                 and not t.find_parent(['header', 'table', 'figure', 'code', 'pre']))
    assert first.parent.get('class') == ['term'] and [a.get_text() for a in main.select('a.term')].count(word) == 1


@parsed
def test_nothing_comes_from_elsewhere(site):
    for name, soup in pages_of(site[0]).items():
        assert not [e for e in soup.select('[src], link[href]')
                    if (e.get('src') or e.get('href')).startswith(('http', '//'))], name
    for css in site[0].rglob('*.css'): assert 'url(http' not in css.read_text(), css.name


@parsed
def test_pages_are_light(site):
    "What a browser fetches for a page; the median is half a megabyte."
    def weight(name, soup):
        parts = {e.get('src') or e.get('href')
                 for e in soup.select('link[rel=stylesheet][href], script[src], img[src]')
                 if not e.find_parent('noscript')}
        parts |= {soup.select_one('link.quarto-color-scheme')['data-href'],
                  soup.select_one('link[href*=bootstrap-icons]')['href'].replace('bootstrap-icons.min.css',
                                                                                 'fonts/bootstrap-icons.woff')}
        return sum((site[0]/name).parent.joinpath(part).stat().st_size
                   for part in parts) + (site[0]/name).stat().st_size
    sizes = [weight(*page) for page in pages_of(site[0]).items()]
    assert statistics.median(sizes) < 600_000 and max(sizes) < 1_000_000, sorted(sizes)


@parsed
def test_menu_lists_every_page_once_in_order(site):
    home = pages_of(site[0])['index.html']
    menu = [a['href'].removeprefix('./') for a in home.select('#quarto-sidebar a.sidebar-link[href]')]
    assert sorted(menu) == [p for p in PAGES if not p.startswith('source/')]
    assert menu[0] == 'index.html' and menu[-2:] == ['benchmarks.html', 'changelog.html']
    from test_package import FLOW
    assert menu[menu.index('all.html') + 1:-2] == [build.below(m, '.html') for m in FLOW]
    heads = [s.get_text(strip=True)
             for s in home.select('.sidebar-item-section > .sidebar-item-container .sidebar-link')]
    assert heads == ['Studies', 'Guides', 'Library']
    assert [s.get_text() for s in home.select('#quarto-sidebar .sidebar-group')] == ['Data', 'Models', 'Training',
                                                                                     'Scoring', 'Comparing',
                                                                                     'Using a model']


@parsed
def test_every_page_says_what_is_on_it(site):
    pages = {k: v for k, v in pages_of(site[0]).items() if not k.startswith('source/')}
    titles = [soup.title.get_text() for soup in pages.values()]
    assert len(set(titles)) == len(titles)
    for name, soup in pages.items():
        description = soup.select_one('meta[name=description]')
        assert description and len(description['content']) > 20, f'{name} has no description'
        assert name in ('index.html',
                        'changelog.html') or len(soup.select('.page-navigation '
                                                             'a')) == 2, f'{name} has no previous and next'


@parsed
def test_every_public_name_is_documented(site):
    "Its page has its anchor, its signature and a link to its source."
    from importlib import import_module
    pages = pages_of(site[0])
    for module in build.modules():
        soup, library = pages[build.below(module, '.html')], import_module(f'movielens_ce.{module}')
        for name in library.__all__:
            # constants, and click's commands
            if not callable(getattr(library, name)) or getattr(getattr(library, name), 'name', None): continue
            heading = soup.find(id=name.lower()) or soup.find(attrs={'data-anchor-id': name.lower()})
            assert heading, f'{module}.{name}'
            assert soup.select(f'a.source[href*="source/{build.below(module)}.html#L-"]'), module


@pytest.mark.parametrize('module', build.modules())
@parsed
def test_names_stand_in_the_order_of_their_definition(module, site):
    lines = [int(a['href'].split('#L-')[1]) for a in pages_of(site[0])[build.below(module, '.html')].select('a.source')]
    assert lines and lines == sorted(lines)


def test_nbdev_and_the_site_have_folders_of_their_own():
    "nbdev takes what it finds in `_proc` for its own, renamed pages included."
    from nbdev.serve import proc_nbs
    assert "'_proc'" in inspect.getsource(proc_nbs) and build.STAGE.name != '_proc'
    for folder in (build.STAGE, build.OUT):
        assert f'{folder.name}/' in (build.ROOT/'.gitignore').read_text().splitlines()
