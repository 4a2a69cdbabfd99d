"Hands setuptools what settings.ini holds; everything else is in pyproject.toml."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

ini = ConfigParser(delimiters=['='])
ini.read(Path(__file__).parent/'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']

statuses = ['1 - Planning', '2 - Pre-Alpha', '3 - Alpha', '4 - Beta', '5 - Production/Stable']

setup(
    license=cfg['license'],
    author=cfg['author'],
    keywords=[k.strip() for k in cfg['keywords'].split(',')],
    classifiers=[
        f'Development Status :: {statuses[int(cfg["status"]) - 1]}',
        'Intended Audience :: Science/Research',
        'Intended Audience :: Education',
        'Programming Language :: Python :: 3 :: Only',
    ],
    packages=find_packages(include=[cfg['lib_path']]),
    # so `pip install -e .` puts this folder on the path, and pages can import from answer/
    package_dir={'': '.'},
    install_requires=cfg['requirements'].split(),
    extras_require={extra: cfg[f'{extra}_requirements'].split() for extra in ('dev', 'bench')},
)
