"""Names that a cell defines, without running it."""

from __future__ import annotations

import ast
import re

_SEEMING_DEFINITION = re.compile(r"^(?:async +)?(?:def|class) +(\w+)|^(\w+) *(?::[^=\n]*)?=(?!=)", re.MULTILINE)


def seeming_names(source: str) -> tuple[str, ...]:
    """Names that a cell which does not parse seems to define."""
    found = (match[1] or match[2] for match in _SEEMING_DEFINITION.finditer(source))
    return tuple(dict.fromkeys(found))[:50]


def defined_names(tree: ast.Module) -> set[str]:
    """Names that running a cell binds in the notebook's namespace."""
    names: set[str] = set()
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            continue
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                names.add(node.id)
        else:
            if isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
                names.add(node.name)
            pending.extend(ast.iter_child_nodes(node))
    names.discard("*")
    return names
