"""Small arithmetic expressions on named channels: parsed by Python's own parser, evaluated by the rules here alone.

Nothing of Python is reachable from one: there are numbers, names of channels, the operators and functions listed here,
and no calls of anything else, no attributes, no strings. Its length and depth are bounded, and so is its cost.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from pipeline_core import OperationError

LONGEST, MOST_PARTS, DEEPEST = 1000, 200, 40

_BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
}
_COMPARE: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
}
# How many arguments each function takes; `_call` says what they do.
FUNCTIONS = {
    "abs": (1, 1), "min": (2, 9), "max": (2, 9), "clamp": (1, 3), "where": (3, 3), "mix": (3, 3),
    "sqrt": (1, 1), "exp": (1, 1), "log": (1, 1), "sin": (1, 1), "cos": (1, 1), "floor": (1, 1), "ceil": (1, 1),
}  # fmt: skip


class Expression:
    """A checked expression. `names` are the channels that it reads. OperationError for what is not understood."""

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > LONGEST:
            raise self._refused(f"is {len(text)} characters long, at most {LONGEST} are taken")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's remarks on style
                self.tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else "it is nested too deeply or holds odd characters"
            raise self._refused(f"can't be read: {reason}") from None
        self._check_size()
        self.names = frozenset(self._names(self.tree))

    def _refused(self, why: str) -> OperationError:
        shown = self.text if len(self.text) <= 60 else self.text[:57] + "..."
        return OperationError(f"the expression '{' '.join(shown.split())}' {why}")

    def _check_size(self) -> None:
        level, parts, depth = [self.tree], 0, 0
        while level:
            parts, depth = parts + len(level), depth + 1
            level = [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
            if parts > MOST_PARTS or depth > DEEPEST:
                raise self._refused(f"has more than {MOST_PARTS} parts or is nested more than {DEEPEST} deep; split it")

    def _names(self, node: ast.expr) -> set[str]:
        """The channels read below this node; refuses whatever `evaluate` does not know."""
        name = _dotted(node)
        if name is not None:
            return {name}
        match node:
            case ast.Constant(value=bool() | complex() | str() | bytes() | None):
                raise self._refused(f"holds {ast.unparse(node)}, which is not a number")
            case ast.Constant(value=int() | float()):
                return set()
            case ast.Call(func=ast.Name(id=function), args=args, keywords=[]) if function in FUNCTIONS:
                low, high = FUNCTIONS[function]
                if not low <= len(args) <= high:
                    wanted = str(low) if low == high else f"{low} to {high}"
                    raise self._refused(f"gives {len(args)} values to '{function}', which takes {wanted}")
                children = args
            case ast.Call():
                known = ", ".join(FUNCTIONS)
                raise self._refused(f"calls {ast.unparse(node.func)[:40]}; the functions are {known}")
            case ast.BinOp(op=op) if type(op) in _BINARY:
                children = [node.left, node.right]
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() | ast.Not()):
                children = [node.operand]
            case ast.Compare(ops=ops) if all(type(op) in _COMPARE for op in ops):
                children = [node.left, *node.comparators]
            case ast.BoolOp():
                children = node.values
            case ast.IfExp():
                children = [node.test, node.body, node.orelse]
            case _:
                raise self._refused(
                    f"holds '{ast.unparse(node)[:40]}'; + - * / ** and or not, comparisons, a if c else b, numbers, "
                    f"channels and {', '.join(FUNCTIONS)} are understood"
                )
        return set().union(*(self._names(child) for child in children))

    def evaluate(self, channels: Mapping[str, Any], number: Callable[[float], Any], xp: Any) -> Any:
        """The value, of float32 arrays or tensors; `number` makes a scalar of their kind, `xp` is numpy or torch."""

        def truth(node: ast.expr) -> Any:
            found = value(node)
            return found if str(found.dtype).endswith("bool") else found != number(0.0)

        def numeric(node: ast.expr) -> Any:
            found = value(node)
            return xp.where(found, number(1.0), number(0.0)) if str(found.dtype).endswith("bool") else found

        def value(node: ast.expr) -> Any:
            name = _dotted(node)
            if name is not None:
                return channels[name]
            match node:
                case ast.Constant(value=int() | float() as constant):
                    return number(self._float(constant))
                case ast.Call(func=ast.Name(id="where"), args=[test, then, other]):
                    return xp.where(truth(test), numeric(then), numeric(other))
                case ast.IfExp(test=test, body=then, orelse=other):
                    return xp.where(truth(test), numeric(then), numeric(other))
                case ast.Call(func=ast.Name(id=function), args=args):
                    return _call(function, [numeric(arg) for arg in args], number, xp)
                case ast.BinOp(left=left, op=op, right=right):
                    return _BINARY[type(op)](numeric(left), numeric(right))
                case ast.UnaryOp(op=ast.Not(), operand=operand):
                    return ~truth(operand)
                case ast.UnaryOp(op=op, operand=operand):
                    return -numeric(operand) if isinstance(op, ast.USub) else numeric(operand)
                case ast.Compare(left=left, ops=ops, comparators=comparators):
                    values = [numeric(left), *map(numeric, comparators)]
                    tests = [_COMPARE[type(op)](*values[i : i + 2]) for i, op in enumerate(ops)]
                    return _folded(tests, lambda a, b: a & b)
                case ast.BoolOp(op=op, values=parts):
                    both = isinstance(op, ast.And)
                    return _folded([truth(part) for part in parts], lambda a, b: a & b if both else a | b)
            raise AssertionError(f"checked, but not evaluated: {ast.dump(node)}")

        return numeric(self.tree)

    def _float(self, constant: float) -> float:
        try:
            return float(constant)
        except OverflowError:
            raise self._refused("holds a number too large for a float") from None


def _dotted(node: ast.expr) -> str | None:
    """The name of a channel: `R`, or `diffuse.R`, for Python's parser an attribute, but here no more than a name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return None if before is None else f"{before}.{node.attr}"
    return None


def _folded(parts: list[Any], join: Callable[[Any, Any], Any]) -> Any:
    result = parts[0]
    for part in parts[1:]:
        result = join(result, part)
    return result


def _call(function: str, args: list[Any], number: Callable[[float], Any], xp: Any) -> Any:
    match function:
        case "min" | "max":
            return _folded(args, xp.minimum if function == "min" else xp.maximum)
        case "clamp":
            x, low, high = [*args, *(number(0.0), number(1.0))[len(args) - 1 :]]
            return xp.minimum(xp.maximum(x, low), high)
        case "mix":
            a, b, t = args
            return a + (b - a) * t
    return getattr(xp, function)(args[0])
