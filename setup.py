"""Everything is declared in setup.cfg; this file only adds the package list, which maps losses/ to gatys_lab.losses."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["gatys_lab", "gatys_lab.*"]), "gatys_lab.losses"])
