"""How much is packed into small texts, numbers and names? What they are used for tells data from words.

A text whose letters are looked up, or a name that is read by way of its class, is data: every letter and every name can
stand for a day. A text that is shown, or that names a column, is none, however long it is.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

__all__ = ["called", "packed"]

MANY = 12  # of settings there are fewer
FEWEST_LETTERS = 20  # of a text whose letters are looked up
DIGITS, MOST_DIGITS, DIGITS_OF_ONE = 20, 64, 2  # hexadecimal: of a large number, of two seeds, of a number in them
LETTERS_OF_ONE = 2  # of texts that are made numbers
BITS, MOST_BITS, BITS_OF_ONE = 12, 100, 5  # of a number that is read bit by bit, of all of them, of a number in them
READS_BITS = {"bin", "unpackbits", "binary_repr", "bit_count", "bit_length", "to_bytes", "divmod"}
WALKS = {"enumerate", "map", "zip", "list", "set", "tuple", "iter", "sorted", "bytes", "bytearray", "memoryview"}
WALKS |= {
    "frozenset",
    "reversed",
    "ord",
    "frombuffer",
    "filter",
    "dict",
    "array",
    "Counter",
    "deque",
    "Series",
    "cycle",
}
LOOKS_UP = {
    "find",
    "rfind",
    "index",
    "rindex",
    "count",
    "translate",
    "encode",
    "__getitem__",
    "__contains__",
    "hex",
    "replace",
    "partition",
}
DECODES = {
    "ord",
    "from_bytes",
    "fromhex",
    "unhexlify",
    "a2b_base64",
    "b64decode",
    "b32decode",
    "b85decode",
    "a85decode",
}
DECODES |= {"b16decode", "decompress", "unpack", "iter_unpack", "unpack_from", "frombuffer", "fromstring", "maketrans"}
READS_NAMES = {"dir", "vars", "getmembers"}
HOLDS_NAMES = {
    "__dict__",
    "__members__",
    "__annotations__",
    "__slots__",
    "_fields",
    "co_names",
    "co_consts",
    "__code__",
}
ENUMS = {"Enum", "IntEnum", "StrEnum", "Flag", "IntFlag"}
LETTERS_OF_NAMES = 8
SHORT_WORD = 2  # letters on an average: names of shares have more
GAPS = re.compile(r"(?<=\S)[^\S\n]{2,}")


def packed(trees: Iterable[ast.AST]) -> int:
    """So many numbers or days, in all of these together."""
    nodes = {id(node): node for tree in trees for node in ast.walk(tree)}
    every = list(nodes.values())
    return max(
        _looked_up(every),
        _decoded(every),
        _large(every),
        _by_bit(every),
        _names(every),
        _sums(every),
        called(every),
        _words(every),
        _keys(every),
    )


def _name(node: ast.AST | None) -> str:
    """What a name or an attribute is called."""
    return str(getattr(node, "id", None) or getattr(node, "attr", None) or "")


def _text(node: ast.AST | None) -> str:
    """A text, or several that are put together; a sum of a thousand is nested as deeply."""
    found: list[str] = []
    waiting = [node]
    while waiting:
        match waiting.pop():
            case ast.Constant(value=str(value)):
                found.append(value)
            case ast.Constant(value=bytes(value)):
                found.append(value.decode("latin-1"))
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                waiting += [right, left]
            case ast.BinOp(left=text, op=ast.Mult()):
                waiting.append(text)  # again and again, it says no more
            case ast.JoinedStr(values=parts):
                waiting += parts[::-1]
            case ast.Call(func=ast.Attribute(value=text, attr="encode"), args=[]):
                waiting.append(text)
            case ast.Call(func=ast.Attribute(attr="join"), args=[ast.List(elts=parts) | ast.Tuple(elts=parts)]):
                waiting += parts[::-1]
    return "".join(found)


def _looked_up(nodes: list[ast.AST]) -> int:
    """Letters of texts that are looked up one by one."""
    texts: dict[str, str] = {}
    for node in nodes:
        pairs: list[tuple[ast.AST, ast.AST | None]] = []
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr):
            pairs = [(node.target, node.value)]
        elif isinstance(node, ast.arguments):
            named = [*node.posonlyargs, *node.args]
            pairs = list(zip(named[len(named) - len(node.defaults) :], node.defaults, strict=True))
            pairs += list(zip(node.kwonlyargs, node.kw_defaults, strict=True))
        for target, value in pairs:
            name = str(getattr(target, "arg", "") or _name(target))
            if name and value is not None and (text := _text(value)):
                more = isinstance(node, ast.AugAssign) or any(_name(each) == name for each in ast.walk(value))
                texts[name] = texts.get(name, "") + text if more else text

    def letters(node: ast.AST | None) -> str:
        text = _text(node) or texts.get(_name(node), "")
        return text if len(text) >= FEWEST_LETTERS else ""

    return sum(map(len, {text for node in nodes for used in _used_by_letter(node) if (text := letters(used))}))


def _used_by_letter(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Subscript(value=value, slice=place) if not isinstance(place, ast.Constant):
            if not (isinstance(place, ast.Slice) and all(_is_plain(end) for end in (place.lower, place.upper))):
                yield value
        case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in LOOKS_UP and node.args:
            yield value
        case ast.For(iter=value) | ast.comprehension(iter=value) | ast.Starred(value=value):
            yield value
        case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[value]):
            yield value
    if isinstance(node, ast.Call) and _name(node.func) in WALKS | DECODES | {"int"}:
        yield from node.args


def _is_plain(end: ast.AST | None) -> bool:
    return end is None or isinstance(end, ast.Constant | ast.UnaryOp)


def _words(nodes: list[ast.AST]) -> int:
    """Words of texts that stand there again and again, or are as short as numbers, and gaps between them."""
    found = 0
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) >= FEWEST_LETTERS:
            gaps = len(set(GAPS.findall(node.value))) > 2 and len(GAPS.findall(node.value))
            found = max(found, gaps or 0)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "split":
            words = re.findall(r"\w+", _text(node.func.value))
            if words:
                again, short = len(words) - len(set(words)), sum(map(len, words)) <= SHORT_WORD * len(words)
                found = max(found, len(words) if short or again > len(words) // 2 else again)
    return found


def _keys(nodes: list[ast.AST]) -> int:
    """Keys and attributes that something is given one by one."""
    given: dict[str, set[str]] = defaultdict(set)
    for node in nodes:
        for target in _targets(node) if isinstance(node, ast.stmt) else ():
            match target:
                case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=key)) if _is_number(key):
                    given[name].add(repr(key))
    return sum(max(0, len(keys) - MANY) for keys in given.values())


def _decoded(nodes: list[ast.AST]) -> int:
    """Letters of words in tables, where the program makes numbers of letters."""
    decodes = any(
        isinstance(node, ast.Call) and (_name(node.func) in DECODES or (_name(node.func) == "int" and _has_base(node)))
        for node in nodes
    )
    if not decodes:
        return 0
    tables = [node for node in nodes if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict)]
    words = {id(each): len(_text(each)) for table in tables for each in ast.iter_child_nodes(table) if _text(each)}
    split = {
        id(node): len(_text(node.func.value))
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.endswith("split")
    }
    return sum((words | split).values()) // LETTERS_OF_ONE


def _has_base(call: ast.Call) -> bool:
    """A base, but not that of a digest, of which seeds are made."""
    digest = any(_name(each) == "hexdigest" for each in ast.walk(call))
    return not digest and (len(call.args) > 1 or any(each.arg == "base" for each in call.keywords))


def _large(nodes: list[ast.AST]) -> int:
    written = {node.value for node in nodes if isinstance(node, ast.Constant) and type(node.value) is int}
    digits = [len(hex(value)) - 2 for value in written]
    total = sum(each for each in digits if each >= DIGITS)
    return total // DIGITS_OF_ONE if total > MOST_DIGITS else 0


def _by_bit(nodes: list[ast.AST]) -> int:
    """Numbers whose bits are read one by one: each of them can say yes or no to a month."""
    shifts = any(
        (isinstance(node, ast.BinOp) and isinstance(node.op, ast.RShift))
        or (isinstance(node, ast.Call) and _name(node.func) in READS_BITS)
        or (isinstance(node, ast.FormattedValue) and _text(node.format_spec).endswith("b"))
        for node in nodes
    )
    written = {node.value for node in nodes if isinstance(node, ast.Constant) and type(node.value) is int}
    bits = sum(value.bit_length() for value in written if value.bit_length() >= BITS) if shifts else 0
    return bits // BITS_OF_ONE if bits >= MOST_BITS else 0


def _names(nodes: list[ast.AST]) -> int:
    """Names that a class gives, where something reads the names of classes; members of an enumeration can be walked."""
    reads = any(
        (isinstance(node, ast.Call) and _name(node.func) in READS_NAMES)
        or (isinstance(node, ast.Attribute) and node.attr in HOLDS_NAMES)
        or (isinstance(node, ast.Call) and _name(node.func) in ("getattr", "hasattr") and _is_computed(node))
        for node in nodes
    )
    found, put = [0], defaultdict[str, set[str]](set)
    for node in nodes:
        for target in _targets(node) if reads and isinstance(node, ast.Assign) else ():
            if isinstance(target, ast.Attribute) and _name(target.value) != "self":
                put[_name(target.value)].add(target.attr)
        if isinstance(node, ast.ClassDef):
            given = {_name(target) for each in node.body for target in _targets(each)}
            if any(_name(base) in ENUMS for base in node.bases):
                found.append(len(given))
            if reads:
                given |= {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
                found += [len(given), sum(map(len, given)) // LETTERS_OF_NAMES]
        elif isinstance(node, ast.Call) and _name(node.func) in ENUMS | {"namedtuple", "SimpleNamespace"}:
            text = " ".join(map(_text, node.args[1:]))
            found.append(len(text.replace(",", " ").split()))
            if reads:
                found.append(len(node.keywords))
    return max(*found, *(len(names) - MANY for names in put.values()), 0)


def _is_computed(call: ast.Call) -> bool:
    """Whether the name is made of something else: one that a loop goes through is as it stands in the program."""
    return len(call.args) > 1 and isinstance(call.args[1], ast.JoinedStr | ast.BinOp | ast.Call | ast.Subscript)


def _targets(statement: ast.stmt) -> list[ast.expr]:
    if isinstance(statement, ast.Assign):
        return [each for target in statement.targets for each in getattr(target, "elts", [target])]
    return [statement.target] if isinstance(statement, ast.AnnAssign) else []


def _sums(nodes: list[ast.AST]) -> int:
    """Numbers that are put together to one, in an expression or in many statements."""
    inner: set[int] = set()
    put: dict[str, int] = defaultdict(int)
    found = 0
    for node in nodes:
        if isinstance(node, ast.BinOp) and id(node) not in inner:
            inside = list(ast.walk(node))
            inner |= {id(each) for each in inside if isinstance(each, ast.BinOp)}
            constants = sum(isinstance(each, ast.Constant) and _is_number(each.value) for each in inside)
            if constants > MANY and not any(isinstance(each, ast.Name | ast.Call) for each in inside):
                found += constants
        elif isinstance(node, ast.AugAssign) and not any(isinstance(each, ast.Name) for each in ast.walk(node.value)):
            put[_name(node.target)] += 1
    return max(found, sum(max(0, count - MANY) for count in put.values()))


def called(nodes: Iterable[ast.AST]) -> int:
    """Numbers that one function is given, call by call, or how often it is called for nothing but that it was."""
    given: dict[str, set[str]] = defaultdict(set)
    times: dict[str, int] = defaultdict(int)
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _is_bare(node.value):
            times[_name(node.value.func)] += 1
        if isinstance(node, ast.Call) and node.args and not node.keywords:
            values = [each.value for each in node.args if isinstance(each, ast.Constant)]
            if len(values) == len(node.args) and all(map(_is_number, values)):
                given[_dumped(node.func)].add(repr(values))
    return sum(max(0, count - MANY) for count in (*map(len, given.values()), *times.values()))


def _dumped(node: ast.AST) -> str:
    try:
        return ast.dump(node)
    except RecursionError:  # of a thousand attributes of attributes
        return ""


def _is_bare(call: ast.Call) -> bool:
    return not call.args and not call.keywords and isinstance(call.func, ast.Name)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
