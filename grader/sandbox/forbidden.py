"""What an exercise forbids: callables and modules that raise ForbiddenCall when they are used.

Nothing can be kept from code for good inside its own process. This closes the names under which a student finds a
ready-made answer: the one that the exercise forbids, every other name of the same object in a loaded module
(`keras.layers.Attention` is `tensorflow.keras.layers.Attention`), and the doors that are listed below.
"""

from __future__ import annotations

import functools
import importlib
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

# Other callables that do the work of one that an exercise forbids; only those that exist are closed.
OTHER_DOORS: dict[str, tuple[str, ...]] = {
    "torch.nn.functional.scaled_dot_product_attention": (
        "torch._scaled_dot_product_attention_math",
        "torch._scaled_dot_product_flash_attention_for_cpu",
        "torch.ops.aten.scaled_dot_product_attention",
        "torch.ops.aten._scaled_dot_product_attention_math",
        "torch.ops.aten._scaled_dot_product_flash_attention_for_cpu",
    ),
    "torch.nn.functional.multi_head_attention_forward": (
        "torch._native_multi_head_attention",
        "torch.ops.aten._native_multi_head_attention",
    ),
}


class ForbiddenCall(RuntimeError):
    """The exercise asks for one's own implementation of what was called."""


class _ForbiddenModule(types.ModuleType):
    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") and attribute.endswith("__"):
            raise AttributeError(attribute)
        raise ForbiddenCall(f"{self.__name__} is not allowed in this exercise; write it yourself")


class _Refusal(MetaPathFinder, Loader):
    """Finds one module, and makes it a forbidden one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname == self._name else None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return _ForbiddenModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """There is nothing in it."""


class forbidden:  # noqa: N801  (used as `with forbidden([...]):`)
    """Replace each dotted name, a callable or a whole module, by something that raises ForbiddenCall when used.

    A name that is not installed needs no replacing. The originals return when the block ends; a student's process
    never leaves it. One object serves several blocks: what is to be replaced is looked up for the first.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._looked_up = False
        self._steps: list[tuple[Callable[[], object], Callable[[], object]]] = []  # a replacement and its way back
        self._originals: dict[int, tuple[Any, Any]] = {}  # id -> the forbidden callable, and what stands in for it

    def __enter__(self) -> None:
        if self._looked_up:
            for replace, _ in self._steps:
                replace()
            return
        try:
            for name in self._names:
                self._forbid(name)
                for door in OTHER_DOORS.get(name, ()):
                    self._forbid_existing(door)
            self._forbid_other_names()
            self._looked_up = True
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        for _replace, put_back in reversed(self._steps):
            put_back()

    def _forbid(self, name: str) -> None:
        """Replace a callable or a module by its dotted name."""
        parts = name.split(".")
        above = [".".join(parts[:length]) for length in range(1, len(parts))]
        if any(isinstance(sys.modules.get(module), _ForbiddenModule) for module in above):
            return  # with all of its module
        if name in sys.modules or not self._forbid_existing(name):
            self._replace_module(name)  # a library that is not loaded is not loaded for this; name the module

    def _forbid_existing(self, name: str) -> bool:
        """Replace a callable of a loaded library. False when there is none of that name."""
        parent_path, _, last = name.rpartition(".")
        if name.partition(".")[0] not in sys.modules:
            return False
        owner = _find(parent_path)
        if owner is None or not hasattr(owner, last) or isinstance(getattr(owner, last), types.ModuleType):
            return False
        original = getattr(owner, last)
        stand_in = _forbidden_callable(name, original)
        self._replace(owner, last, stand_in)
        self._originals[id(original)] = original, stand_in
        return True

    def _forbid_other_names(self) -> None:
        """Replace what was forbidden wherever else a loaded module has it."""
        if not self._originals:
            return
        for path, module in list(sys.modules.items()):
            names = getattr(module, "__dict__", None)
            if not isinstance(names, dict) or path.partition(".")[0] == "grader":  # which has work to do in here
                continue
            if self._originals.keys().isdisjoint(map(id, names.values())):
                continue
            for name in [name for name, value in names.items() if id(value) in self._originals]:
                original, stand_in = self._originals[id(names[name])]
                write = functools.partial(names.__setitem__, name)  # setattr makes some modules load more
                self._take(functools.partial(write, stand_in), functools.partial(write, original))

    def _replace(self, owner: Any, attribute: str, value: Any) -> None:
        # Put back as written there: looked up, a class method would come back bound, an inherited name as its own.
        own: Mapping[str, Any] = vars(owner)
        back = (
            functools.partial(setattr, owner, attribute, own[attribute])
            if attribute in own
            else functools.partial(delattr, owner, attribute)
        )
        self._take(functools.partial(setattr, owner, attribute, value), back)

    def _replace_module(self, name: str) -> None:
        parent, _, last = name.rpartition(".")
        stand_in = _ForbiddenModule(name)
        if name not in sys.modules:
            self._refuse_import(name)
        else:
            write, known = functools.partial(sys.modules.__setitem__, name), sys.modules[name]
            self._take(functools.partial(write, stand_in), functools.partial(write, known))
        if hasattr(sys.modules.get(parent), last):
            self._replace(sys.modules[parent], last, stand_in)

    def _refuse_import(self, name: str) -> None:
        """A module that is not loaded stays unseen until it is imported: other libraries look whether it is there."""
        finder = _Refusal(name)

        def put_back() -> None:
            sys.meta_path.remove(finder)
            parent, _, last = name.rpartition(".")
            if isinstance(sys.modules.get(name), _ForbiddenModule):
                del sys.modules[name]
                if parent in sys.modules and isinstance(vars(sys.modules[parent]).get(last), _ForbiddenModule):
                    delattr(sys.modules[parent], last)

        self._take(functools.partial(sys.meta_path.insert, 0, finder), put_back)

    def _take(self, replace: Callable[[], object], put_back: Callable[[], object]) -> None:
        replace()
        self._steps.append((replace, put_back))


def _forbidden_callable(name: str, original: Any) -> Any:
    message = f"{name} is not allowed in this exercise; write it yourself"

    def refuse(*_: Any, **__: Any) -> Any:
        raise ForbiddenCall(message)

    if isinstance(original, type):  # `__new__` comes first, and Keras's own looks into `__init__`
        return type(original.__name__, (original,), {"__new__": refuse, "__init__": refuse})
    return refuse


def _find(path: str) -> Any:
    """The module or object of a dotted path; None where it does not exist."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for attribute in parts[length:]:
            found = getattr(found, attribute, None)
        return found
    return None
