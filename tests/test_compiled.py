"""The declarations beside compiled rooms agree with the rooms: each class declares exactly its slots."""

import ast
import re
from pathlib import Path

import pytest

ROOMS = sorted(
    path.with_suffix(".py") for path in (Path(__file__).parents[1] / "fastsse").glob("*.pxd") if path.stem != "_framing"
)
ATTRIBUTE = re.compile(r"^    cdef (?:public |readonly )?(?:long )?(\w+) ([\w, ]+)$", re.MULTILINE)


def declared(source: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for block in re.split(r"^cdef class ", source, flags=re.MULTILINE)[1:]:
        names = {name.strip() for _, names in ATTRIBUTE.findall(block) for name in names.split(",")}
        found[block.partition(":")[0].strip()] = names
    return found


def slots(source: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == "__slots__":
                    value = ast.literal_eval(item.value)
                    found[node.name] = {value} if isinstance(value, str) else set(value)
    return found


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.stem)
def test_a_compiled_class_declares_its_slots(room: Path) -> None:
    known = slots(room.read_text())
    for name, attributes in declared(room.with_suffix(".pxd").read_text()).items():
        assert known.get(name, attributes) == attributes, name
