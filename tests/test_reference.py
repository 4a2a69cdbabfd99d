"The reference: what a public name is documented by, and an example of it with output in its notebook."
import ast
import importlib
import inspect
import json
import re
import textwrap
from dataclasses import is_dataclass

import click
import pytest
from fastcore.docments import docments
from test_package import FLOW, ROOT


def public(module):
    "The functions, classes and commands among the public names of a module."
    m = importlib.import_module(f'movielens_ce.{module}')
    return {n: o for n in m.__all__ if callable(o := getattr(m, n))
            and not (inspect.isfunction(o) and o.__name__ == '<lambda>')}


def gives_something(f):
    "Whether a function returns or yields a value anywhere outside of the functions in it."
    def walk(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.Lambda, ast.ClassDef)): continue
            if isinstance(child, (ast.Yield, ast.YieldFrom)): return True
            if isinstance(child, ast.Return) and child.value is not None: return True
            if walk(child): return True
        return False
    return walk(ast.parse(textwrap.dedent(inspect.getsource(f))).body[0])


def said_of(docs, name): return getattr(docs.get(name), 'docment', None)


def function_gaps(name, f, returns=True):
    "What a function leaves unsaid: its docstring, parameters, what it returns."
    said = docments(f, full=True, args_kwargs=True)
    gaps = [] if inspect.getdoc(f) and f.__doc__ else [f'{name}: no docstring']
    gaps += [f'{name}: parameter {p}' for p in inspect.signature(f).parameters if p not in ('self', 'cls')
             and not said_of(said, p)]
    return gaps + [f'{name}: what it returns'] if returns and gives_something(f) and not said_of(said,
                                                                                                 'return') else gaps


def class_gaps(name, cls):
    "What a class leaves unsaid: its docstring, fields, and its own public methods and properties."
    gaps = [] if cls.__doc__ and not cls.__doc__.startswith(f'{name}(') else [f'{name}: no docstring']
    if is_dataclass(cls) or hasattr(cls, '_fields'):
        source = inspect.getsource(cls)
        gaps += [f'{name}: field {f}' for f in getattr(cls, '__dataclass_fields__', getattr(cls, '_fields', ()))
                 if not re.search(rf'^ +{f} *:.* # \S', source, re.M)]
    elif '__init__' in vars(cls):
        gaps += [g for g in function_gaps(f'{name}.__init__', cls.__init__, returns=False) if 'no docstring' not in g]
    for n, o in vars(cls).items():
        if n.startswith('_') and n != '__call__': continue
        if isinstance(o, property): gaps += [] if o.__doc__ else [f'{name}.{n}: no docstring']
        elif isinstance(o, (classmethod, staticmethod)) or inspect.isfunction(o):
            f = getattr(o, '__func__', o)
            if f.__module__ == cls.__module__ and f.__qualname__.startswith(name):
                gaps += function_gaps(f'{name}.{n}', f)
    return gaps


def command_gaps(name, command):
    "What a command leaves unsaid: its help and that of its options."
    return ([] if command.help else [f'{name}: no help']) + [f'{name}: option {p.name}' for p in command.params
                                                             if not getattr(p, 'help', None)]


def gaps(name, o):
    return (command_gaps if isinstance(o, click.Command) else class_gaps if inspect.isclass(o)
            else function_gaps)(name, o)


@pytest.mark.parametrize('module', FLOW)
def test_public_names_are_documented(module):
    found = [g for name, o in public(module).items() for g in gaps(name, o)]
    assert not found, '\n' + '\n'.join(found)


def notebook_of(module):
    "The cells of the notebook that exports `module`."
    room, name = module.split('.')
    path, = (ROOT/'nbs'/room).glob(f'[0-9][0-9]_{name}.ipynb')
    return json.loads(path.read_text())['cells']


@pytest.mark.parametrize('module', FLOW)
def test_public_names_have_an_example(module):
    shown = [''.join(c['source']) for c in notebook_of(module) if c['cell_type'] == 'code' and c['outputs']]
    shown = '\n'.join(s for s in shown if not re.search(r'^#\| *(export|hide$)', s, re.M))
    without = [n for n in public(module) if not re.search(rf'\b{n}\b', shown)]
    assert not without, f'no example with output: {", ".join(without)}'


def test_a_gap_is_found():
    def f(a, # Something
          b): return a + b
    class C:
        "Says what it is."
        def __init__(self, a): pass
        @property
        def p(self): return 1
        def m(self,
            x, # Something
        ) -> int: # A number
            "Says what it does."
            return x
    C.__qualname__, C.m.__qualname__ = 'C', 'C.m'
    assert function_gaps('f', f) == ['f: no docstring', 'f: parameter b', 'f: what it returns']
    assert class_gaps('C', C) == ['C.__init__: parameter a', 'C.p: no docstring']
