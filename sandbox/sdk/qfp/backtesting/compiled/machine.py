"""How does typed Python become machine code? Functions in the words of language.py go through LLVM into memory.

emission.py turns functions into LLVM's text, load() makes that executable. The account's functions (PARTS) are
translated once per process, or inherited ready-made through a fork; a strategy's come on top and are linked to them.
Needs llvmlite; Unavailable says where that is missing, or a system does not let memory become executable.
"""

from __future__ import annotations

import ast
import ctypes
from functools import cache
from pathlib import Path
from typing import Any

from qfp.backtesting.compiled.emission import PREFIX, Layout, Source
from qfp.backtesting.compiled.lanes import LANES, SIGNATURE, averages
from qfp.backtesting.compiled.language import COMPENSATED
from qfp.backtesting.compiled.words import LIBRARY

__all__ = ["Kernel", "Unavailable", "call", "functions_of", "is_ready", "kernel", "load", "release"]


PARTS = ("record.py", "orders.py", "kernel.py", "fills.py", "trades.py", "sifting.py", "passes.py", "walking.py")


class Unavailable(Exception):
    """There is no machine code to be had here, and why."""


class Kernel:
    """The account's functions: their record's places, their signatures, and the engine that holds them."""

    def __init__(self) -> None:
        text = "\n".join(Path(__file__).with_name(name).read_text() for name in PARTS)
        text = text.replace("from __future__ import annotations\n", "")
        tree = ast.parse(text)
        record = next(node for node in tree.body if isinstance(node, ast.ClassDef))
        self.layout = Layout(record)
        self.constants: dict[str, Any] = {"COMPENSATED": COMPENSATED}
        for node in tree.body:
            if isinstance(node, ast.Assign):
                values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
                targets = node.targets[0].elts if isinstance(node.targets[0], ast.Tuple) else node.targets
                for target, value in zip(targets, values, strict=True):
                    self.constants[ast.unparse(target)] = ast.literal_eval(value)
        source = Source(self.layout, {}, self.constants)
        source.add(functions_of(text))
        source.text.append(averages())
        self.functions = source.own | {f"moving_averages{lanes}": SIGNATURE for lanes in LANES}
        self._engine = _engine(source.llvm(), 3)
        self.addresses = {name: self._engine.get_function_address(PREFIX + name) for name in self.functions}
        for name, address in self.addresses.items():
            _llvmlite().add_symbol(PREFIX + name, address)


@cache
def kernel() -> Kernel:
    """The account's functions, translated when first asked for. Raises Unavailable."""
    return Kernel()


@cache
def _llvmlite() -> Any:
    """llvmlite, ready. Raises Unavailable."""
    try:
        import llvmlite.binding as llvm
    except Exception as error:
        raise Unavailable(f"llvmlite cannot be loaded ({error})") from None
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    library = ctypes.CDLL(None)
    mathematics = library if hasattr(library, "pow") else ctypes.CDLL("libm.so.6")
    llvm.add_symbol("qfp_realloc", _address(library.realloc))
    for name in LIBRARY:
        llvm.add_symbol(f"qfp_{name}", _address(getattr(mathematics, name)))
    return llvm


def is_ready() -> bool:
    """Whether the account's functions are translated already."""
    return kernel.cache_info().currsize > 0


def call(name: str, *places: int) -> int:
    """Call one of the account's functions with places in memory."""
    found: int = _function(name, len(places))(*places)
    return found


@cache
def _function(name: str, count: int) -> Any:
    return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * count)(kernel().addresses[name])


def release(place: int) -> None:
    """Give back a column that resize() took."""
    _free()(place)


@cache
def _free() -> Any:
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_address(ctypes.CDLL(None).free))


def _address(function: Any) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address


@cache
def _host() -> dict[str, str]:
    """The processor here."""
    llvm = _llvmlite()
    return {"cpu": llvm.get_host_cpu_name(), "features": llvm.get_host_cpu_features().flatten()}


def _engine(text: str, effort: int) -> Any:
    """An engine that holds these functions. Four passes: the whole row of LLVM's takes four times as long, and what it
    makes of such code is hardly faster.

    effort: 0 to 3. 0 is for what is called rarely, in a quarter of the time of 2: without any pass, for any processor
    of the kind; 1 takes half of that time, and what it makes takes twice as long as what 2 makes. 3 is for the
    account's functions: small ones become part of those that call them.
    """
    llvm = _llvmlite()
    machine = llvm.Target.from_default_triple().create_target_machine(
        **(_host() if effort else {}), opt=min(effort // 2, 1), jit=True
    )
    module = llvm.parse_assembly(text)
    if effort:
        passes = llvm.create_new_module_pass_manager()
        for inlined in (False, True)[: 2 if effort == 3 else 1]:
            if inlined:
                passes.add_always_inliner_pass()
            passes.add_sroa_pass()
            passes.add_new_gvn_pass()
            passes.add_instruction_combine_pass()
            passes.add_simplify_cfg_pass()
        passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine


def functions_of(text: str) -> list[ast.FunctionDef]:
    """The functions in a text."""
    return [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]


def load(functions: list[ast.FunctionDef], effort: int = 2) -> tuple[Any, dict[str, int]]:
    """(what keeps them in memory, address by name) of functions that may call the account's. effort: see _engine()."""
    base = kernel()
    source = Source(base.layout, base.functions, base.constants)
    source.add(functions)
    engine = _engine(source.llvm(), effort)
    return engine, {name: engine.get_function_address(PREFIX + name) for name in source.own}
