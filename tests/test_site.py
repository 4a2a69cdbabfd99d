"""The site in a browser: every page, light and dark, on a wide and a narrow screen. Chromium is the system's (`apt-get install chromium`) or Playwright's; without one the
browser's tests are skipped, and those of the files remain."""
import functools
import http.server
import inspect
import json
import shutil
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest

import build
from bs4 import BeautifulSoup
from filelock import FileLock

PAGES = sorted([str(build.page_name(p).with_suffix('.html')) for p in build.notebooks()] + ['changelog.html'] + [f'source/{m}.html' for m in build.modules()])
pytestmark = pytest.mark.slow(3)
FLAGS = '--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync'.split()


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
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=site[0]))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}/'
    server.shutdown()


@pytest.fixture(scope='session')
def browser():
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        found = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), p.chromium.executable_path)
        if not Path(found).exists(): pytest.skip('needs Chromium: `apt-get install chromium`, or `playwright install chromium`')
        chromium = p.chromium.launch(executable_path=found, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, address):
    "Opens a page and notes what goes wrong there: errors on the console, requests that fail, requests that leave."
    contexts = []

    def open_(path, width=1280):
        contexts.append(browser.new_context(viewport=dict(width=width, height=900), color_scheme='light', reduced_motion='reduce'))
        page = contexts[-1].new_page()
        page.wrong = []
        page.on('console', lambda m: m.type == 'error' and page.wrong.append(f'console: {m.text}'))
        page.on('pageerror', lambda e: page.wrong.append(f'error: {e}'))
        page.on('requestfailed', lambda r: page.wrong.append(f'failed: {r.url}'))
        page.on('request', lambda r: r.url.startswith((address, 'data:')) or page.wrong.append(f'leaves: {r.url}'))
        page.on('response', lambda r: r.status >= 400 and page.wrong.append(f'{r.status}: {r.url}'))
        page.goto(address + path, wait_until='load')
        return page

    yield open_
    for c in contexts: c.close()


def violations(page, **options):
    "What axe finds serious or critical. It takes its time for each word of code, and code looks the same everywhere, so that it reads it on three pages only."
    from axe_playwright_python.sync_playwright import Axe
    context = None if page.url.endswith(('losses.html', 'index.html')) else {'exclude': [['pre code']]}
    found = Axe().run(page, context, options=dict(resultTypes=['violations'], **options)).response['violations']
    return [f"{v['id']}: {n['target']} {n['html'][:120]} {n.get('failureSummary', '')[:200]}" for v in found if v['impact'] in ('serious', 'critical') for n in v['nodes'][:5]]


TOO_WIDE = """() => [...document.querySelectorAll('body *')].filter(e => {
    const r = e.getBoundingClientRect();
    return r.width && r.height && r.right > innerWidth + 1 && !e.closest('pre, .scrolls, .katex, .katex-display, #quarto-sidebar, .visually-hidden');
}).map(e => e.outerHTML.slice(0, 120))"""
IMAGES = "() => [...document.images].filter(i => !i.alt.trim() || !i.complete || !i.naturalWidth).map(i => i.outerHTML.slice(0, 200))"
MATHS = "() => [...document.querySelectorAll('span.math')].filter(m => !m.querySelector('.katex') || m.querySelector('.katex-error')).map(m => m.outerHTML.slice(0, 200))"


@pytest.mark.parametrize('path', PAGES)
def test_page_in_a_browser(path, opened):
    page = opened(path)
    assert page.title() and page.locator('main h1').count() >= 1
    assert not page.evaluate(MATHS), 'maths that is not rendered'
    assert not page.evaluate(IMAGES), 'pictures without alt text, or that do not load'
    assert not violations(page)
    assert page.evaluate('document.documentElement.scrollWidth') <= 1280
    page.set_viewport_size(dict(width=390, height=844))
    assert not page.evaluate(TOO_WIDE), 'wider than a telephone'
    assert page.evaluate('document.documentElement.scrollWidth') <= 390
    page.emulate_media(color_scheme='dark')
    page.wait_for_function("document.documentElement.classList.contains('quarto-dark')")
    assert not violations(page, runOnly=['color-contrast', 'link-in-text-block', 'scrollable-region-focusable', 'button-name'])
    assert not page.wrong


def test_a_fault_of_a_page_is_found(opened):
    page = opened('index.html', width=390)
    assert not page.evaluate(TOO_WIDE) and not page.evaluate(IMAGES) and not page.evaluate(MATHS)
    page.evaluate("""() => { document.querySelector('main').insertAdjacentHTML('beforeend', '<div style="width: 500px; height: 9px">wide</div><img src="none.png" alt="">' +
        '<span class="math inline">x</span><p style="color: #aaa; background: #fff">pale</p>') }""")
    page.wait_for_timeout(200)
    assert len(page.evaluate(TOO_WIDE)) == len(page.evaluate(IMAGES)) == len(page.evaluate(MATHS)) == 1
    assert any('color-contrast' in v for v in violations(page)) and any('404' in w for w in page.wrong)


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


@pytest.mark.parametrize('words, where', [('fit_one_cycle', 'training.html#fit_one_cycle'), ('CumulativeLogit', 'heads.html#cumulativelogit'), ('glossary', 'glossary.html')])
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
    link = page.locator('#quarto-sidebar a[href$="losses.html"]')
    assert not page.locator('#quarto-sidebar').evaluate('e => e.classList.contains("show")')
    page.click('.quarto-btn-toggle')
    link.wait_for(state='visible')
    page.wait_for_timeout(300)
    assert page.locator('#quarto-sidebar a').first.bounding_box()['y'] >= page.locator('#quarto-header').bounding_box()['height'], 'the menu begins behind the header'
    assert not violations(page)
    with page.expect_navigation(): link.click()
    assert page.url.endswith('losses.html') and not page.wrong


def test_theme_is_kept(opened):
    page = opened('index.html')
    page.click('.quarto-color-scheme-toggle')
    page.wait_for_function("document.documentElement.classList.contains('quarto-dark')")
    page.reload()
    assert page.evaluate("document.documentElement.classList.contains('quarto-dark')")


@functools.lru_cache
def pages_of(folder): return {str(p.relative_to(folder)): BeautifulSoup(p.read_text(), 'html.parser') for p in folder.rglob('*.html')}


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


def test_nothing_comes_from_elsewhere(site):
    for name, soup in pages_of(site[0]).items():
        assert not [e for e in soup.select('[src], link[href]') if (e.get('src') or e.get('href')).startswith(('http', '//'))], name
    for css in site[0].rglob('*.css'): assert 'url(http' not in css.read_text(), css.name


def test_menu_lists_every_page_once_in_order(site):
    home = pages_of(site[0])['index.html']
    menu = [a['href'].removeprefix('./') for a in home.select('#quarto-sidebar a.sidebar-link[href]')]
    assert sorted(menu) == [p for p in PAGES if not p.startswith('source/')]
    assert menu[0] == 'index.html' and menu[-2:] == ['benchmarks.html', 'changelog.html']
    from test_package import FLOW
    assert menu[menu.index('library.html') + 1:-2] == [f'{m}.html' for m in FLOW]
    heads = [s.get_text(strip=True) for s in home.select('.sidebar-item-section > .sidebar-item-container .sidebar-link')]
    assert heads == ['Studies', 'Guides', 'Library']


def test_every_page_says_what_is_on_it(site):
    pages = {k: v for k, v in pages_of(site[0]).items() if not k.startswith('source/')}
    titles = [soup.title.get_text() for soup in pages.values()]
    assert len(set(titles)) == len(titles)
    for name, soup in pages.items():
        description = soup.select_one('meta[name=description]')
        assert description and len(description['content']) > 20, f'{name} has no description'
        assert name in ('index.html', 'changelog.html') or len(soup.select('.page-navigation a')) == 2, f'{name} has no previous and next'


def test_every_public_name_is_documented(site):
    "Its page has its anchor, its signature and a link to its source."
    from importlib import import_module
    pages = pages_of(site[0])
    for module in build.modules():
        soup, library = pages[f'{module}.html'], import_module(f'movielens_ce.{module}')
        for name in library.__all__:
            if not callable(getattr(library, name)) or getattr(getattr(library, name), 'name', None): continue         # constants, and click's commands
            heading = soup.find(id=name.lower()) or soup.find(attrs={'data-anchor-id': name.lower()})
            assert heading, f'{module}.{name}'
            assert soup.select(f'a.source[href^="source/{module}.html#L-"]'), module


@pytest.mark.parametrize('module', build.modules())
def test_names_stand_in_the_order_of_their_definition(module, site):
    lines = [int(a['href'].split('#L-')[1]) for a in pages_of(site[0])[f'{module}.html'].select('a.source')]
    assert lines and lines == sorted(lines)


def test_nbdev_and_the_site_have_folders_of_their_own():
    "nbdev takes what it finds in `_proc` for its own, renamed pages included."
    from nbdev.serve import proc_nbs
    assert "'_proc'" in inspect.getsource(proc_nbs) and build.STAGE.name != '_proc'
    for folder in (build.STAGE, build.OUT): assert f'{folder.name}/' in (build.ROOT/'.gitignore').read_text().splitlines()
