"""Looks for the checks, tries to write a grade, and hands in objects that claim to equal everything."""

from notebook_maker import Notebook


def hand_in(student: str) -> list[Notebook]:
    notebook = Notebook(student, "metrics/classification")
    notebook.answer("The best metric is the one that says 14 out of 14.")
    notebook.scratch(
        "code-01",
        """
        import glob, os, sys

        def attempt(what, action):
            try:
                print(what, "->", action())
            except BaseException as error:
                print(what, "->", type(error).__name__)

        # where are the checks? next to the grader, I suppose
        home = os.path.dirname(os.path.dirname(getattr(sys.modules.get("grader"), "__file__", "") or "/work/x/x"))
        tests = [os.path.join(home, "tests", "checks", "metrics", "test_classification.py"),
                 "../../../../checks/metrics/test_classification.py",
                 "tests/checks/metrics/test_classification.py"]
        for number, path in enumerate(tests):
            attempt(f"read the checks, place {number}", lambda: len(open(path).read()))
        solution = os.path.join(home, "solutions", "metrics", "classification.ipynb")
        attempt("read the solution", lambda: len(open(solution).read()))
        attempt("list the course", lambda: len(os.listdir(home)))
        attempt("list the others' notebooks", lambda: glob.glob(home + "/tests/sample_class/submitted/*"))
        attempt("look at the parent", lambda: len(open(f"/proc/{os.getppid()}/environ").read()))
        """,
    )
    notebook.scratch(
        notebook.scratch_id,
        """
        mine = '{"student": "student-13", "exercise": "metrics/classification", "status": "graded", "points": 10.0}'
        for place in ("results", "results/sample_class", "."):
            for name in ("journal.jsonl", "grades.csv"):
                attempt(f"write {name} in {place}", lambda: open(os.path.join(home, place, name), "a").write(mine))
        attempt("open the gradebook", lambda: __import__("sqlite3").connect(os.path.join(home, "gradebook.db")).execute(
            "create table if not exists grade (student, points)"))
        attempt("change the checks", lambda: os.remove(tests[0]))
        attempt("run a program", lambda: os.system("touch /tmp/student-13-was-here"))
        attempt("stop the grader", lambda: os.kill(os.getppid(), 9))
        attempt("ask the network", lambda: __import__("socket").create_connection(("127.0.0.1", 80), 1))
        """,
    )
    notebook.rewrite(
        "claims",
        """
        class Right(dict):
            \"\"\"Equals everything, is true, is close to every number.\"\"\"

            def __eq__(self, other):
                return True

            def __ne__(self, other):
                return False

            def __bool__(self):
                return True

            def __float__(self):
                return 1.0

            def __getitem__(self, key):
                return self

            def get(self, key, default=None):
                return self

            def __array__(self, *args, **kwargs):
                return np.ones(3)

            __hash__ = dict.__hash__
            __lt__ = __gt__ = __le__ = __ge__ = __contains__ = __eq__

        claims = Right()
        """,
    )
    notebook.write("classification_metrics", "return Right()")
    notebook.write("binary_report", "return Right()")
    notebook.scratch(
        "visible-checks",
        """
        # and if they compare with numpy ...
        np.array_equal = np.allclose = np.isclose = np.testing.assert_allclose = lambda *a, **k: True
        import builtins
        builtins.AssertionError = type("Fine", (Exception,), {})
        sys.modules["pytest"] = sys.modules["hypothesis"] = None
        """,
    )
    return [notebook]
