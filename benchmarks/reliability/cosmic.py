"""Run by the interpreter that has cosmic-ray: which mutants there are, or the text of some of them.

    python -c "import cosmic; cosmic.main()" < REQUEST

The request is ``{"sources": {path: text}, "wanted": null or [[path, operator, occurrence], ...]}`` in JSON. The answer
is the version of cosmic-ray and, without ``wanted``, every mutant as ``[path, operator, occurrence, start, end,
where]``, start and end being ``[line, column]``; with it, the wanted mutants' texts in their order.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.ast.ast_query import ASTQuery
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names


def mutants_of(path: str, source: str) -> list[list]:
    """All that cosmic-ray's operators make of one source; those that want arguments are left out."""
    found, tree = [], get_ast(source)
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments():
            continue
        places = [(node, *place) for node in ast_nodes(tree) for place in operator().mutation_positions(node)]
        for occurrence, (node, start, end) in enumerate(places):
            where = ASTQuery(node).get_definition_name() or ""
            found.append([path, name.removeprefix("core/"), occurrence, start, end, where])
    return found


def main() -> None:
    asked = json.load(sys.stdin)
    sources, wanted = asked["sources"], asked["wanted"]
    answer = {"version": importlib.metadata.version("cosmic-ray")}
    if wanted is None:
        answer["mutants"] = [mutant for path, source in sources.items() for mutant in mutants_of(path, source)]
    else:
        answer["texts"] = [
            mutate_code(sources[path], get_operator(f"core/{operator}")(), occurrence)
            for path, operator, occurrence in wanted
        ]
    json.dump(answer, sys.stdout)
