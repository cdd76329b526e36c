"""The manifest holds: every entry is shown by a test or has its reason, and every mark names an entry."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from requirements import ELSEWHERE, GAPS, LATER, NOT_MET, REQUIREMENTS

TESTS = sorted(Path(__file__).parent.glob("test_*.py"))


def named(tree: ast.AST) -> Iterator[str]:
    """The ids in `requirement("…")` marks, which are written as literals so that they can be found."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if name == "requirement":
                assert node.args, f"line {node.lineno}: a requirement mark without an id"
                for argument in node.args:
                    assert isinstance(argument, ast.Constant), f"line {node.lineno}: name entries literally"
                    yield str(argument.value)


TREES = {path.name: ast.parse(path.read_text()) for path in TESTS}
NAMED = {id for tree in TREES.values() for id in named(tree)}


def functions(tree: ast.Module) -> set[str]:
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_mark_is_on_a_test() -> None:
    for name, tree in TREES.items():
        on_tests = {
            id
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
            for decorator in node.decorator_list
            for id in named(decorator)
        }
        assert on_tests == set(named(tree)), name


def test_every_mark_names_an_entry() -> None:
    assert sorted(NAMED - set(REQUIREMENTS)) == []


@pytest.mark.parametrize("id", REQUIREMENTS)
def test_every_entry_is_shown_or_has_its_reason(id: str) -> None:
    shown = id in NAMED or id in ELSEWHERE
    excused = [reasons[id] for reasons in (NOT_MET, LATER, GAPS) if id in reasons]
    if shown:
        assert excused == [], f"{id} is shown by a test: it is no gap any more"
    else:
        assert len(excused) == 1, f"{id} has no test: {REQUIREMENTS[id]}"
        assert excused[0]


def test_reasons_are_given_for_entries_only() -> None:
    for reasons in (NOT_MET, LATER, GAPS, ELSEWHERE):
        assert set(reasons) <= set(REQUIREMENTS)
    assert not set(ELSEWHERE) & NAMED, "what is named by a mark need not be listed"


@pytest.mark.parametrize("test", [test for tests in ELSEWHERE.values() for test in tests])
def test_what_is_shown_elsewhere_is_there(test: str) -> None:
    file, _, function = test.partition("::")
    assert function in functions(TREES[file])
