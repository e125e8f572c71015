"""Plugin files, read and never run: what they import, what they define, why they must fail."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

__all__ = ["FaultError", "is_installed", "not_installed", "pip_name", "read_plugin", "split_value"]

# Where the name to install differs from the name to import by more than a dash.
_PIP = {"PIL": "pillow", "cv2": "opencv-python-headless", "groundingdino": "groundingdino-py"}
_PIP |= {"skimage": "scikit-image", "sklearn": "scikit-learn", "yaml": "pyyaml"}

# What these hold may never run, or runs where its failure is caught.
_MAYBE = (ast.If, ast.IfExp, ast.BoolOp, ast.With, ast.For, ast.While, ast.Match, ast.TryStar)


class FaultError(Exception):
    """Why a plugin cannot be loaded, in one line without its name."""


def read_plugin(value: str) -> tuple[set[str], str]:
    """The libraries that a plugin's own file imports, and what could not be read of it.

    Args:
        value: The plugin's entry point, `module:attribute`.

    Raises:
        FaultError: If importing the module is bound to fail, or does not make the attribute.
    """
    module, attribute = split_value(value)
    imports: set[str] = set()
    for path in _files(module):
        if path.suffix != ".py":
            return set(), f"{path.name} is compiled: only loading it tells"
        source = _Source(path, own=module.partition(".")[0])
        absent = [library for library in source.sure if not is_installed(library)]
        if absent:
            raise FaultError(not_installed(absent[0]))
        if source.raised:
            raise FaultError(f"{path.name} always fails when it is imported: {source.raised}")
        imports, defined = source.imports, source.may_define(attribute.partition(".")[0])
    if not defined:
        raise FaultError(f"{module} does not define {attribute!r}")
    return imports, ""


def split_value(value: str) -> tuple[str, str]:
    """Module and attribute of an entry point's value.

    Raises:
        FaultError: If it is not `module:attribute`.

    Examples:
        >>> split_value("vendor.boxes:Detector [extra]")
        ('vendor.boxes', 'Detector')
    """
    # An entry point may end in extras, `module:attribute [extra]`; they play no part here.
    match = re.fullmatch(r"([A-Za-z_][\w.]*)\s*:\s*([A-Za-z_][\w.]*)\s*(\[.*\])?", value)
    if match is None:
        raise FaultError(f"its entry point {value!r} is not module:attribute")
    return match[1], match[2]


def pip_name(library: str) -> str:
    """What to install for a library that is imported by this name."""
    return _PIP.get(library, library.replace("_", "-"))


def is_installed(library: str) -> bool:
    """Whether a top-level module can be found, without importing it."""
    return _spec(library) is not None


def not_installed(library: str) -> str:
    """That a library is not installed, and how to install it."""
    return f"library {library!r} is not installed. Try: pip install {pip_name(library)}"


def _files(module: str) -> list[Path]:
    """The files that importing a module runs, outermost package first."""
    top, *rest = module.split(".")
    spec = _spec(top)
    if spec is None:
        raise FaultError(f"module {module!r} is not there: no {top!r} is installed")
    files = [Path(spec.origin)] if spec.origin else []
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    for part in rest:
        endings = ("/__init__.py", ".py", *EXTENSION_SUFFIXES)
        there = [f for place in places for end in endings if (f := place / (part + end)).is_file()]
        folders = [folder for place in places if (folder := place / part).is_dir()]
        if not (there or folders):
            raise FaultError(f"module {module!r} is not there: {top!r} has no {part!r}")
        files += there[:1]
        places = folders
    return files


def _spec(top: str) -> Any:
    """The spec of a top-level module; a dotted name would import its parents."""
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


class _Source:
    """What one module's text says: the names it defines and the libraries it imports."""

    def __init__(self, path: Path, *, own: str) -> None:
        self.names, self.imports = set[str](), set[str]()
        self.sure: list[str] = []
        self.raised = ""
        self._known = {own, "groundplane", "__future__", *sys.stdlib_module_names}
        try:
            # Its warnings, such as one on an invalid escape, are not ours to show.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(path.read_bytes())
                compile(tree, str(path), "exec", dont_inherit=True)  # finds more, runs nothing
        except SyntaxError as error:
            where = f"syntax error in {path.name}, line {error.lineno}"
            raise FaultError(f"{where}: {error.msg}") from error
        except (RecursionError, MemoryError):
            # Too deep for the reader here, which says nothing of whether it loads.
            self.names.add("*")
            return
        except (OSError, ValueError) as error:
            raise FaultError(f"{path.name} cannot be read: {error}") from error
        for node, sure, outer in _nodes(tree.body):
            self._note(node, sure=sure, outer=outer)

    def may_define(self, name: str) -> bool:
        """False only where it is certain that importing the module does not make the name."""
        return not self.names.isdisjoint({name, "*", "__getattr__"})

    def _note(self, node: ast.AST, *, sure: bool, outer: bool) -> None:
        libraries, names, ends = [], [], False
        match node:
            case ast.Import(names=aliases):
                libraries = [alias.name for alias in aliases]
                names = [alias.asname or alias.name.partition(".")[0] for alias in aliases]
            case ast.ImportFrom(names=aliases, module=module, level=level):
                libraries = [module] if module and not level else []
                names = [alias.asname or alias.name for alias in aliases]
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names = [node.name]
            case ast.Name(id=name, ctx=ast.Store()):
                names = [name]
            case ast.Global(names=declared):
                names = list(declared)
            case ast.Call(func=func):
                called = ast.unparse(func)
                libraries = _needed(node) if called.endswith("need_library") else []
                ends = called in ("sys.exit", "os._exit", "os.abort", "exit", "quit")
                # Names made at run time cannot be told from the text.
                names = ["*"] if called in ("globals", "exec", "vars", "setattr") else []
            case ast.Raise():
                ends = True
        if ends and sure and not self.raised:
            self.raised = ast.unparse(node)[:120]
        if outer:
            self.names.update(names)
        tops = [top for n in libraries if (top := n.partition(".")[0]) not in self._known]
        self.imports.update(tops)
        self.sure += tops if sure else []


def _needed(call: ast.Call) -> list[str]:
    """The library that `core.hub.need_library` is asked to import."""
    match call.args:
        case [ast.Constant(value=str(library)), *_]:
            return [library]
    return []


def _nodes(
    nodes: Iterable[ast.AST], *, sure: bool = True, outer: bool = True
) -> Iterator[tuple[ast.AST, bool, bool]]:
    """Every node, whether importing is bound to run it, and whether it is at module level."""
    for node in nodes:
        inside, scope = list(ast.iter_child_nodes(node)), outer
        match node:
            case ast.If(test=test, orelse=orelse) if ast.unparse(test).endswith("TYPE_CHECKING"):
                inside, go_on = list[ast.AST](orelse), False
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=final):
                yield from _nodes(body, sure=sure and not handlers, outer=outer)
                yield from _nodes(final, sure=sure, outer=outer)
                inside, go_on = [*handlers, *orelse], False
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                scope = go_on = False
            case ast.ClassDef():
                scope, go_on = False, sure
            case ast.AnnAssign(value=None):
                inside, go_on = [], sure
            case _:
                go_on = sure and not isinstance(node, _MAYBE)
        yield node, sure, outer
        yield from _nodes(inside, sure=go_on, outer=scope)
