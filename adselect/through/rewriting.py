"""Code objects whose calls ask first what to call: the same program, line by line, with three questions in it.

``g(…)`` becomes ``call(g)(…)``, ``o.m(…)`` becomes ``method(o, "m")(…)`` and ``o.a`` becomes ``attribute(o, "a")``.
The answers are given when the code runs, so names mean what they mean at that moment. A whole file is parsed once and
compiled twice, as it is and rewritten; the code objects of both are walked side by side, so that the one of a function
also proves that the file on disk is what runs. The functions that answer take the place of constants of the new code:
globals, closures and ``super()`` stay what they are.
"""

from __future__ import annotations

import ast
import linecache
import sys
import threading
import types
from typing import Any, NamedTuple

__all__ = ["ATTRIBUTE", "CALL", "METHOD", "READING", "Source", "code_with", "source_of"]

# Constants that stand for the functions that answer, until a code object is made for use.
CALL = "adselect:call"
METHOD = "adselect:method"
READING = ":reading"  # of functions that write into no array
ATTRIBUTE = "adselect:attribute"
# These look at the frame that calls them, or are asked so often that a question would only cost time.
_LEFT = frozenset({"super", "locals", "globals", "vars", "eval", "exec", "dir", "__import__"})
_PLAIN_ATTRIBUTES = frozenset({"shape", "dtype", "size", "ndim", "T", "real", "imag"})


class Source(NamedTuple):
    """What is known of one code object: the same rewritten, and the calls in it, with their lines."""

    code: types.CodeType
    calls: tuple[ast.expr, ...]


class _Rewriting(ast.NodeTransformer):
    """Puts the questions into functions; what runs when the module is imported stays as it is."""

    def __init__(self) -> None:
        self.depth = 0
        self.classes: list[str] = []
        self.calls: dict[tuple[str, int], list[ast.expr]] = {}
        self._within: list[list[ast.expr]] = []
        self._reading = ""

    # -- what is walked, and what is not: annotations, patterns ----------------------------------------------------

    def visit_Lambda(self, node: Any) -> Any:
        node.args = self._arguments(node.args)
        first = node.lineno
        if not isinstance(node, ast.Lambda):
            first = min([first, *[d.lineno for d in node.decorator_list]])
            node.decorator_list = [self.visit(d) for d in node.decorator_list]
        self._within.append(self.calls.setdefault((getattr(node, "name", "<lambda>"), first), []))
        outer = self._reading
        if not self.depth:
            self._reading = "" if _writes(node) else READING
        self.depth += 1
        if isinstance(node, ast.Lambda):
            node.body = self.visit(node.body)
        else:
            node.body = [self.visit(statement) for statement in node.body]
        self.depth -= 1
        self._reading = outer
        self._within.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self.visit_Lambda(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self.visit_Lambda(node)

    def _arguments(self, arguments: ast.arguments) -> ast.arguments:
        arguments.defaults = [self.visit(d) for d in arguments.defaults]
        arguments.kw_defaults = [None if d is None else self.visit(d) for d in arguments.kw_defaults]
        return arguments

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        node.bases = [self.visit(b) for b in node.bases]
        node.keywords = [self.visit(k) for k in node.keywords]
        self.classes.append(node.name)
        node.body = [self.visit(statement) for statement in node.body]
        self.classes.pop()
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.target = self.visit(node.target)
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_match_case(self, node: ast.match_case) -> ast.AST:
        if node.guard is not None:
            node.guard = self.visit(node.guard)
        node.body = [self.visit(statement) for statement in node.body]
        return node

    # -- the questions -----------------------------------------------------------------------------------------------

    def visit_Call(self, node: ast.Call) -> ast.AST:
        callee = node.func
        if self._within and not (isinstance(callee, ast.Name) and callee.id in _LEFT):
            self._within[-1].append(callee)
        node.args = [self.visit(a) for a in node.args]
        node.keywords = [self.visit(k) for k in node.keywords]
        if not self.depth:
            node.func = self.visit(callee)
        elif isinstance(callee, ast.Attribute):
            name = ast.copy_location(ast.Constant(self._mangled(callee.attr)), callee)
            node.func = _asked(METHOD + self._reading, callee, self.visit(callee.value), name)
        elif not (isinstance(callee, ast.Name) and callee.id in _LEFT):
            node.func = _asked(CALL + self._reading, callee, self.visit(callee))
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        value = self.visit(node.value)
        if self.depth and isinstance(node.ctx, ast.Load) and node.attr not in _PLAIN_ATTRIBUTES:
            name = ast.copy_location(ast.Constant(self._mangled(node.attr)), node)
            return _asked(ATTRIBUTE, node, value, name)
        return ast.copy_location(ast.Attribute(value, node.attr, node.ctx), node)

    def _mangled(self, name: str) -> str:
        owner = self.classes[-1].lstrip("_") if self.classes else ""
        return f"_{owner}{name}" if owner and name.startswith("__") and not name.endswith("__") else name


# Functions and methods that write into an array that they are given.
_WRITERS = frozenset({"fill", "put", "itemset", "sort", "partition", "copyto", "place", "putmask", "setdefault"}) | {
    *("fill_diagonal", "put_along_axis", "resize", "at")
}


def _writes(function: ast.AST) -> bool:
    """Whether a function, or one inside of it, may write into an array."""
    for node in ast.walk(function):
        if isinstance(node, ast.AugAssign) or (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)):
            return True
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in _WRITERS or any(k.arg in ("out", None) for k in node.keywords):
                return True
    return False


def _asked(question: str, node: ast.AST, *operands: ast.expr) -> ast.expr:
    """``question(*operands)`` at the place of node."""
    # Around a constant that is called the compiler warns; around a choice whose end is known it does not, and folds it.
    asked = ast.IfExp(ast.Constant(True), ast.Constant(question), ast.Constant(None))
    call = ast.Call(asked, list(operands), [])
    for made in (asked.test, asked.body, asked.orelse, asked, call):
        ast.copy_location(made, node)
    return call


# -- files -------------------------------------------------------------------------------------------------------------

_LOCK = threading.RLock()
_FILES: dict[tuple[str, int], dict[types.CodeType, Source]] = {}
_MOST_FILES = 500


def source_of(function: types.FunctionType) -> Source | None:
    """What is known of a function's code; None where its source is not there, or is another than what runs."""
    file = function.__code__.co_filename
    lines = linecache.getlines(file, function.__globals__)
    key = (file, hash("".join(lines)))
    with _LOCK:
        if key not in _FILES:
            if len(_FILES) >= _MOST_FILES:
                _FILES.clear()
            _FILES[key] = _read(file, "".join(lines), function.__globals__.get("__loader__"))
        return _FILES[key].get(function.__code__)


def _read(file: str, text: str, loader: Any) -> dict[types.CodeType, Source]:
    """The code objects of a file, each with the rewritten one."""
    if not text:
        return {}
    try:
        tree = ast.parse(text, file)
        if (asserts := _asserts_of(loader)) is not None:
            asserts(tree, text.encode(), file, loader.config)
        before = compile(tree, file, "exec", dont_inherit=True)
        rewriting = _Rewriting()
        after = compile(rewriting.visit(tree), file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[types.CodeType, Source] = {}
    _pair(before, after, rewriting.calls, found)
    return found


def _asserts_of(loader: Any) -> Any:
    """What has rewritten the assert statements of a file when it was loaded: pytest does so in tests."""
    module = sys.modules.get(type(loader).__module__)
    return getattr(module, "rewrite_asserts", None) if hasattr(loader, "config") else None


def _pair(before: types.CodeType, after: types.CodeType, calls: dict, found: dict) -> None:
    inner, new = _inner(before), _inner(after)
    if len(inner) != len(new):
        return
    for a, b in zip(inner, new, strict=True):
        alike = a.co_name == b.co_name and a.co_firstlineno == b.co_firstlineno and a.co_freevars == b.co_freevars
        if alike:
            found[a] = Source(b, tuple(calls.get((a.co_name, a.co_firstlineno), ())))
            _pair(a, b, calls, found)


def _inner(code: types.CodeType) -> list[types.CodeType]:
    return [c for c in code.co_consts if type(c) is types.CodeType]


def code_with(code: types.CodeType, answers: dict[str, Any], made: set[int]) -> types.CodeType:
    """A rewritten code object, and those inside, with the functions that answer; the ids of all go into made."""
    constants = []
    for constant in code.co_consts:
        if type(constant) is types.CodeType:
            constant = code_with(constant, answers, made)
        elif type(constant) is str:
            constant = answers.get(constant, constant)
        constants.append(constant)
    new = code.replace(co_consts=tuple(constants))
    made.add(id(new))
    return new
