"""Is there a long table of numbers or days in the code of a strategy? What happened can be written down in one.

Only what stands in the text of a program is counted, in its strategy or under a name that it reads, itself or by way of
others: what is computed of data is the business of the look-ahead test.
"""

from __future__ import annotations

import ast
import functools
import itertools
import linecache
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from qfp.checking.packing import called, packed

__all__ = ["LONG", "longest_table", "place_in", "written_in"]

LONG = 20
NUMBER = re.compile(r"\d[\d.:-]*")
TABLES = (ast.List, ast.Tuple, ast.Set, ast.Dict)
# Numbers of so many digits tell one day from all others; 14, 0.25 or 200 do not.
PRECISE = 4
# Fewer digits do. So many of them in numbers of three and more are as much as twenty numbers, which a curve that is
# fitted to history takes, or a bit for each month of it.
DIGITS_OF_MEASURED, MOST_MEASURED, SHARE_OF_DIGITS = 3, 50, 0.4
# A number may be written down in so many letters of one long word, or of a long text in whatever writing.
LETTERS, LETTERS_OF_TEXT = 8, 20
LONG_WORD, LONG_TEXT = 80, LONG * LETTERS_OF_TEXT
# So many in one piece are no name: several such words, or numbers, make a long one together.
WORD, WORD_OF_NAME, DIGITS = 24, 16, 20
WORDS_OF_NAME = re.compile(r"_|(?=[A-Z][a-z]{2})")
# A number of more digits is worth as many as could be written with them; a measured one was only never rounded.
ORDINARY, HEX_DIGITS_OF_ONE, DIGITS_OF_ONE = 12, 4, 6
# Of a call, a choice or a name; those of settings are fewer. Of an expression so much tells it from others.
MANY, TOLD_APART = 12, 50
MOST_PARTS = 200  # of a program that are looked at one by one; the others together
LIBRARIES = ("qfp", "backtesting")  # whose classes are no text of the program
MOST_NODES = 200_000  # that are looked through for them, for some seconds
READS_ITSELF = {"__file__", "__doc__", "__main__", "main.py", "requirements.txt", "inspect", "linecache", "tokenize"}
READS_ITSELF |= {"listdir", "scandir", "iterdir", "glob(", "os.walk", "fwalk", "fileinput"}  # no global, random_walk()


def longest_table(parts: Iterable[Any]) -> int:
    """How many numbers and days these classes and functions hold, or read, in tables, or as many as are precise."""
    return max((_count(_read_by(part)) for part in parts), default=0)


def written_in(files: Mapping[str, str], params: Mapping[str, Any] | None = None) -> int:
    """The same by the text of a program alone, which nothing that runs can change: in its classes, and in functions
    that are handed on. Where it could read its own text, what stands in notes counts as well.

    params: values that its param()s were given, which count as if they stood in the text.
    """
    trees = [_parsed(text) for path, text in files.items() if path.endswith(".py")]
    for tree in trees:
        _give(tree, params or {})
    statements = [each for tree in trees for each in _statements(tree, None)]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    handed: set[str] = set()
    for node in nodes:
        values: list[Any] = []
        if isinstance(node, ast.Call):
            values = [*node.args, *(each.value for each in node.keywords)]
        elif isinstance(node, ast.Dict):
            values = node.values
        handed |= {each.id for each in values if isinstance(each, ast.Name)}
    parts: list[ast.AST] = [part for tree in trees for part in _outermost(tree)]
    parts += [each for each in statements if isinstance(each, ast.FunctionDef) and each.name in handed]
    giving, alone = _by_name(statements), min(MOST_PARTS, MOST_NODES // max(1, len(nodes)))
    found = [called(nodes)]
    groups = [*([part] for part in parts[:alone]), parts[alone:]]
    found += [_count(_with_what_they_read(group, giving)) for group in groups]
    if any(word in text for text in files.values() for word in READS_ITSELF) or any(map(_opens_by_name, nodes)):
        notes = [line.partition("#")[2] for text in files.values() for line in text.splitlines()]
        values_alone = (node.value for node in nodes if isinstance(node, ast.Expr))
        texts = [value.value for value in values_alone if isinstance(value, ast.Constant)]
        found.append(sum(_in_text(note) for note in (*notes, *texts)))
    return max(found, default=0)


def _give(tree: ast.AST, params: Mapping[str, Any]) -> None:
    """Put the values of its parameters where their defaults stand."""
    for node in ast.walk(tree) if params else ():
        if not isinstance(node, ast.Call) or _name_of(node.func) != "param" or not node.args:
            continue
        name = node.args[0]
        if isinstance(name, ast.Constant) and isinstance(name.value, str) and name.value in params:
            value = ast.copy_location(ast.Constant(params[name.value]), node)
            node.args[1:2] = [value]
            node.keywords = [each for each in node.keywords if each.arg != "default"]


def _opens_by_name(node: ast.AST) -> bool:
    """Whether it opens a file whose name is not written there, which may be that of the program."""
    return (
        isinstance(node, ast.Call)
        and _name_of(node.func) in ("open", "open_code")
        and bool(node.args)
        and not isinstance(node.args[0], ast.Constant)
    )


def _name_of(function: ast.expr) -> str:
    return str(getattr(function, "attr", getattr(function, "id", "")))


def _outermost(tree: ast.AST) -> Iterator[ast.AST]:
    """Classes and lambdas that are in no other; what is in them is looked at with them, once."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.ClassDef, ast.Lambda)):
            yield node
        else:
            waiting += [*ast.iter_child_nodes(node)][::-1]


def place_in(files: Mapping[str, str]) -> str:
    """Where most of what written_in() counts stands, such as "main.py, line 12"; "" where it is in no one place."""
    most, place = 1, ""
    for path, text in files.items():
        for statement in _parsed(text).body if path.endswith(".py") else ():
            if (count := _count([statement])) > most:
                inner = statement.body if isinstance(statement, ast.ClassDef) else []
                counts = [(_count([each]), each.lineno) for each in inner]
                line = next((line for number, line in sorted(counts)[::-1] if 2 * number >= count), statement.lineno)
                most, place = count, f"{path}, line {line}"
    return place


def _read_by(part: Any) -> list[ast.AST]:
    """What is written in a class or function, and what the program's names stand for that it reads."""
    while isinstance(part, functools.partial):
        part = part.func
    if not hasattr(part, "__name__"):  # an object that can be called
        part = type(part)
    code = next((code for code in map(_code, (part, *getattr(part, "__dict__", {}).values())) if code), None)
    if code is None or str(getattr(part, "__module__", "")).split(".")[0] in LIBRARIES:
        return []
    tree = _tree(code.co_filename)
    kinds = (ast.ClassDef,) if isinstance(part, type) else (ast.FunctionDef, ast.Lambda)
    found: list[ast.AST] = [node for node in ast.walk(tree) if isinstance(node, kinds) and _is(node, part, code)]
    return _with_what_they_read(found, _by_name(_statements(tree, Path(code.co_filename).resolve().parent)))


def _by_name(statements: Iterable[ast.stmt]) -> dict[str, list[ast.stmt]]:
    """The statements that give something to a name."""
    found: dict[str, list[ast.stmt]] = defaultdict(list)
    for statement in statements:
        for name in _changed(statement):
            found[name].append(statement)
    return found


def _with_what_they_read(parts: Iterable[ast.AST], giving: Mapping[str, list[ast.stmt]]) -> list[ast.AST]:
    """In a time that grows as the program does, however long a chain of names it makes."""
    found: dict[int, ast.AST] = {id(part): part for part in parts}
    waiting, seen = list(found.values()), set[str]()
    while waiting:
        for node in ast.walk(waiting.pop()):
            if isinstance(node, ast.Name) and node.id not in seen:
                seen.add(node.id)
                added = {id(each): each for each in giving.get(node.id, ()) if id(each) not in found}
                found |= added
                waiting += added.values()
    return list(found.values())


def _tree(path: str) -> ast.Module:
    return _parsed("".join(linecache.getlines(path)))


def _parsed(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _statements(tree: ast.AST, folder: Path | None) -> Iterator[ast.stmt]:
    """Those outside functions and classes, and those of the program's other files that it imports."""
    waiting = [*ast.iter_child_nodes(tree)][::-1]
    while waiting:  # a thousand branches of one if are nested as deeply
        node = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
            for name in named:
                path = getattr(sys.modules.get(name), "__file__", None)
                if folder and path and Path(path).resolve().parent == folder:
                    yield from _statements(_tree(path), None)
        elif isinstance(node, (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.ExceptHandler)):
            waiting += [*ast.iter_child_nodes(node)][::-1]
        elif isinstance(node, ast.stmt):
            yield node


def _changed(node: ast.stmt) -> Iterator[str]:
    """The names that a statement gives something to."""
    targets: list[ast.AST] = []
    if isinstance(node, ast.Assign):
        targets = list(node.targets)
    elif isinstance(node, (ast.AnnAssign, ast.AugAssign)):
        targets = [node.target]
    elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
        targets = [node.value.func.value]  # such as table.update(...)
    for target in targets:
        for part in ast.walk(target):
            if isinstance(part, ast.Name):
                yield part.id
                break  # of table[3] = 4 it is the table


def _code(value: Any) -> Any:
    return getattr(getattr(value, "__func__", value), "__code__", None)


def _is(node: ast.AST, part: Any, code: Any) -> bool:
    if isinstance(node, ast.ClassDef):
        return node.name == part.__name__
    return getattr(node, "lineno", 0) == code.co_firstlineno


def _count(trees: Iterable[ast.AST]) -> int:
    """The numbers and days in all lists, dictionaries, sets and texts of them, or the precise numbers anywhere."""
    tables: dict[int, int] = {}
    precise: dict[str, int] = {}
    measured: dict[str, int] = {}  # digits by number
    pieces: set[str] = set()
    compared: dict[Any, set[Any]] = defaultdict(set)
    trees = list(trees)
    for tree in trees:
        notes = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        counted: set[int] = set()  # tables inside others
        for node in ast.walk(tree):
            pieces.update(_pieces_of_name(node))
            for told, value in _compared(node):
                compared[told].add(value)
            if _is_table(node) and id(node) not in counted:
                inside = list(ast.walk(node))
                counted |= {id(each) for each in inside if _is_table(each)}
                inner = {id(each): 1 for each in _marks(inside)}
                counted_off = {id(key) for each in inside if isinstance(each, ast.Dict) for key in _in_a_row(each.keys)}
                inner |= {
                    id(each): _worth(each.value) for each in inside if _is_value(each) and id(each) not in counted_off
                }
                if len(inner) > 1:
                    tables |= inner
            elif isinstance(node, ast.Constant) and id(node) not in notes:
                if (numbers := _in_text(node.value)) > 1:
                    tables[id(node)] = numbers
                if isinstance(node.value, (int, float)):
                    written, digits = _written(node.value), len(_digits(node.value))
                    if digits >= PRECISE:
                        precise[written] = _worth(node.value)
                    if digits >= DIGITS_OF_MEASURED:
                        measured[written] = digits
                pieces.update(_pieces(node.value))
    choices = sum(max(0, len(values) - MANY) for values in compared.values())
    letters, digits = sum(map(len, pieces)) // LETTERS, sum(measured.values())
    in_digits = int(digits * SHARE_OF_DIGITS) if digits >= MOST_MEASURED else 0
    return max(sum(tables.values()), sum(precise.values()), in_digits, letters, choices, packed(trees))


def _in_a_row(keys: Sequence[ast.expr | None]) -> list[ast.expr]:
    """Keys that only count, such as the months: they say no more than the places of a list."""
    known = [key for key in keys if isinstance(key, ast.Constant) and type(key.value) is int]
    values = [key.value for key in known if isinstance(key.value, int)]
    return (
        [*known]
        if bool(values) and len(values) == len(keys) and values == list(range(values[0], values[0] + len(values)))
        else []
    )


def _compared(node: ast.AST) -> Iterator[tuple[Any, Any]]:
    """What is told from a number, and the number: twelve months, but not a hundred bars."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        others = [_told(each) for each in sides if not isinstance(each, ast.Constant)]
        yield from ((told, each.value) for told in others[:1] for each in sides if _is_value(each))
    elif isinstance(node, ast.Match):
        told = _told(node.subject)
        patterns = (each for case in node.cases for each in ast.walk(case.pattern))
        yield from ((told, each.value) for each in patterns if _is_value(each))


def _pieces_of_name(node: ast.AST) -> list[str]:
    """Words of a name that are too long for words; those with digits in them are shorter."""
    name = next((said for field in ("id", "attr", "arg", "name") if (said := getattr(node, field, None))), None)
    if not isinstance(name, str) or len(name) < WORD_OF_NAME:
        return []
    words = WORDS_OF_NAME.split(name)
    return [each for each in words if len(each) >= (WORD if each.isalpha() else WORD_OF_NAME)]


def _is_table(node: ast.AST) -> bool:
    return isinstance(node, TABLES) or (isinstance(node, ast.Call) and len(node.args) + len(node.keywords) > MANY)


def _marks(inside: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """What is no number in a table, but could stand for one: yes and no, and what stands there again and again. Words
    do in a list of nothing else: those of a table may be the sectors of stocks. A call has many names as well.
    """
    seen: set[Any] = set()
    for node in inside:
        elements: list[ast.AST] = []
        if isinstance(node, ast.Call) and _is_table(node):
            elements = [*node.args, *(each.value for each in node.keywords)]
            yield from node.keywords[MANY:]
        elif isinstance(node, ast.Dict):
            elements = list(node.values)
        elif isinstance(node, (ast.List, ast.Tuple, ast.Set)) and not isinstance(getattr(node, "ctx", None), ast.Store):
            elements = list(node.elts)
        words = not isinstance(node, ast.Dict) and all(_is_word(each) for each in elements)
        for element in elements:
            if isinstance(element, ast.Constant) and isinstance(element.value, bool):
                yield element
            elif (words or not _is_word(element)) and not (isinstance(element, TABLES) and _is_filled(element)):
                if (told := (id(node) if _is_word(element) else 0, _told(element))) in seen:
                    yield element
                seen.add(told)


def _is_word(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_filled(table: ast.AST) -> bool:
    return bool(table.keys if isinstance(table, ast.Dict) else getattr(table, "elts", ()))


def _told(node: ast.AST) -> tuple[Any, ...]:
    """What an expression is told apart by from others."""
    parts = itertools.islice(ast.walk(node), TOLD_APART)
    return tuple((type(each), _said(each)) for each in parts)


def _said(node: ast.AST) -> Any:
    for name in ("id", "attr", "arg", "value"):
        said = getattr(node, name, None)
        if isinstance(said, (str, bytes, int, float)):
            return said
    return None


def _pieces(value: Any) -> list[str]:
    """Words and numbers that are too long for names and amounts."""
    if type(value) is int:
        written = hex(value)[2:]
        return [written] if len(written) >= DIGITS else []
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return [word for word in value.split() if len(word) >= WORD] if isinstance(value, str) else []


def _in_text(value: Any) -> int:
    """How many numbers there can be in a text, in bytes or in one very long number."""
    if type(value) is int:
        value = hex(value)[2:]
        return len(value) // LETTERS if len(value) >= LONG_WORD else 0
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return 0
    long = sum(len(word) // LETTERS for word in value.split() if len(word) >= LONG_WORD)
    text = len(value) // LETTERS_OF_TEXT if len(value) >= LONG_TEXT else 0
    return max(len(NUMBER.findall(value)), long, text)


def _written(value: float) -> str:
    return hex(value) if isinstance(value, int) and abs(value) >= 1 << 64 else repr(value)


def _digits(value: float) -> str:
    written = _written(value)
    return written[2:] if written.startswith("0x") else re.sub(r"e.*|\D", "", written).strip("0")


def _worth(value: Any) -> int:
    """How many ordinary numbers could be kept in the digits of one."""
    if not isinstance(value, (int, float)) or len(_digits(value)) <= ORDINARY:
        return 1
    return len(hex(value)[2:]) // HEX_DIGITS_OF_ONE if isinstance(value, int) else len(_digits(value)) // DIGITS_OF_ONE


def _is_value(node: ast.AST) -> TypeGuard[ast.Constant]:
    if not isinstance(node, ast.Constant) or isinstance(node.value, bool):
        return False
    return isinstance(node.value, (int, float)) or (isinstance(node.value, str) and bool(NUMBER.match(node.value)))
