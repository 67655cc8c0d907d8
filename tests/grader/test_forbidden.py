"""What an exercise forbids: callables and modules that refuse, by every name they have, and come back afterwards."""

from __future__ import annotations

import collections
import fractions
import importlib
import math
import sys
import types

import pytest

from grader.sandbox.forbidden import OTHER_DOORS, ForbiddenCall, forbidden


@pytest.fixture
def libraries(tmp_path, monkeypatch):
    """Two installed libraries: `loaded_library` is imported already, `resting_library` is not."""
    for name in ("loaded_library", "resting_library"):
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").write_text("class Base:\n    def fit(self):\n        return 'base'\n")
        (package / "metrics.py").write_text("def f1():\n    return 'f1'\n")
        (package / "later.py").write_text("def late():\n    return 'late'\n")
        (package / "models.py").write_text(
            "from . import Base\n\n"
            "class Model(Base):\n"
            "    def __init__(self, width=1):\n        self.width = width\n\n"
            "    @classmethod\n    def load(cls):\n        return cls(7)\n\n"
            "    @staticmethod\n    def version():\n        return 3\n"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("loaded_library.metrics")
    importlib.import_module("loaded_library.models")
    yield sys.modules["loaded_library"]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("loaded_library", "resting_library")]:
        del sys.modules[name]


class TestForbidden:
    def test_a_callable(self):
        original = math.hypot
        with forbidden(["math.hypot"]):
            with pytest.raises(ForbiddenCall, match="^math.hypot is not allowed in this exercise; write it yourself$"):
                math.hypot(3, 4)
            assert original(3, 4) == 5
        assert math.hypot is original

    def test_a_class_is_still_a_class_and_cannot_be_made(self):
        original = collections.Counter
        with forbidden(["collections.Counter"]):
            assert issubclass(collections.Counter, original)

            class Mine(collections.Counter):
                pass

            for make in (collections.Counter, Mine):
                with pytest.raises(ForbiddenCall, match="collections.Counter is not allowed"):
                    make("abc")
        assert collections.Counter is original and original("aa") == {"a": 2}

    def test_methods_come_back_as_they_were_written(self, libraries):
        models = libraries.models
        before = dict(vars(models.Model))
        with forbidden([f"loaded_library.models.Model.{name}" for name in ("load", "version", "fit")]):
            for call in (models.Model.load, models.Model(1).version, models.Model(1).fit):
                with pytest.raises(ForbiddenCall):
                    call()
        assert dict(vars(models.Model)) == before  # `load` a class method again, the inherited `fit` not its own
        assert models.Model.load().width == 7
        assert models.Model(1).fit() == "base"

    def test_methods_of_the_standard_library(self):
        before = vars(fractions.Fraction)["from_float"]
        with forbidden(["fractions.Fraction.from_float", "fractions.Fraction.limit_denominator"]):
            with pytest.raises(ForbiddenCall):
                fractions.Fraction.from_float(0.5)
            with pytest.raises(ForbiddenCall):
                fractions.Fraction(1, 3).limit_denominator(2)
        assert vars(fractions.Fraction)["from_float"] is before

    def test_a_loaded_module_by_every_way_to_reach_it(self, libraries):
        metrics = libraries.metrics
        with forbidden(["loaded_library.metrics"]):
            import loaded_library.metrics as again

            for reach in (lambda: again.f1, lambda: libraries.metrics.f1):
                with pytest.raises(ForbiddenCall, match="loaded_library.metrics is not allowed"):
                    reach()
            with pytest.raises(ForbiddenCall):
                from loaded_library.metrics import f1  # noqa: F401
            assert not hasattr(again, "__path__")
            assert metrics.f1() == "f1"  # who holds it already keeps it
        assert sys.modules["loaded_library.metrics"] is metrics is libraries.metrics

    def test_a_module_of_a_loaded_library_that_is_not_loaded_itself(self, libraries):
        with forbidden(["loaded_library.later"]):
            from loaded_library import later

            with pytest.raises(ForbiddenCall):
                later.late()
        del later
        assert "loaded_library.later" not in sys.modules
        from loaded_library.later import late

        assert late() == "late"

    def test_a_library_that_is_not_loaded(self, libraries):
        with forbidden(["resting_library", "resting_library.metrics"]):
            import resting_library

            with pytest.raises(ForbiddenCall, match="resting_library is not allowed"):
                resting_library.models.Model()
            with pytest.raises(ImportError):
                from resting_library.metrics import f1  # noqa: F401
        assert not any(name.startswith("resting_library") for name in sys.modules)
        import resting_library.metrics

        assert resting_library.metrics.f1() == "f1"

    def test_other_libraries_do_not_meet_what_is_forbidden_and_not_loaded(self, libraries):
        finders = list(sys.meta_path)
        with forbidden(["resting_library", "loaded_library.later"]):
            assert "resting_library" not in sys.modules, "SciPy, for one, looks for torch there and uses it"
            import resting_library  # noqa: F401
        assert sys.meta_path == finders
        assert not hasattr(libraries, "later")

    def test_what_is_not_installed_needs_no_replacing(self):
        before = set(sys.modules)
        with forbidden(["no_such_library.function", "math.no_such_function", "no_such_name"]):
            pass
        assert set(sys.modules) == before and not hasattr(math, "no_such_function")

    def test_a_replacement_that_fails_takes_the_others_back(self):
        original = math.hypot
        with pytest.raises(TypeError), forbidden(["math.hypot", "builtins.int.bit_length"]):
            pass
        assert math.hypot is original

    def test_an_error_in_the_block_takes_everything_back(self):
        original = math.hypot
        with pytest.raises(ZeroDivisionError), forbidden(["math.hypot"]):
            _ = 1 / 0
        assert math.hypot is original

    def test_one_name_twice(self):
        original = math.hypot
        with forbidden(["math.hypot", "math.hypot"]), pytest.raises(ForbiddenCall):
            math.hypot(1, 2)
        assert math.hypot is original

    def test_the_other_names_of_the_same_callable(self, libraries, monkeypatch):
        alias = types.ModuleType("an_alias")
        alias.shortest, alias.f1 = libraries.metrics.f1, libraries.metrics.f1
        alias.Model, alias.other = libraries.models.Model, libraries.Base
        monkeypatch.setitem(sys.modules, "an_alias", alias)
        before = dict(vars(alias))
        with forbidden(["loaded_library.metrics.f1", "loaded_library.models.Model"]):
            for call in (alias.shortest, alias.f1, alias.Model):
                with pytest.raises(ForbiddenCall, match="^loaded_library"):
                    call()
            assert alias.other is libraries.Base
        assert dict(vars(alias)) == before

    def test_other_doors_to_the_same_work(self):
        import torch

        query = torch.ones(1, 2, 3)
        assert torch.ops.aten._scaled_dot_product_attention_math(query, query, query)[0].shape == (1, 2, 3)
        doors = OTHER_DOORS["torch.nn.functional.scaled_dot_product_attention"]
        with forbidden(["torch.nn.functional.scaled_dot_product_attention"]):
            for door in (*doors, "torch._C._nn.scaled_dot_product_attention"):
                owner, _, name = door.rpartition(".")
                call = getattr(eval(owner), name)
                with pytest.raises(ForbiddenCall):
                    call(query, query, query)
        assert torch.ops.aten._scaled_dot_product_attention_math(query, query, query)[0].shape == (1, 2, 3)
        assert torch.nn.functional.scaled_dot_product_attention(query, query, query).shape == (1, 2, 3)
