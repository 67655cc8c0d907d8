"""Confinement: what is missing is named, and a process that has confined itself can reach nothing of interest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from grader.sandbox import confinement
from grader.sandbox.confinement import (
    ConfinementError,
    ConfinementLimits,
    Protection,
    available_protections,
    confine_this_process,
    missing_protections,
    readable_paths,
)

ROOT = Path(__file__).resolve().parents[2]
SCOPES = [Protection.SIGNAL_SCOPE, Protection.ABSTRACT_SOCKET_SCOPE]
confined = pytest.mark.skipif(bool(missing_protections()), reason="this machine cannot confine")


class TestMissingProtections:
    @pytest.fixture
    def kernel(self, monkeypatch):
        """A kernel with this version of Landlock (0: none), on a processor with a filter or without one."""

        def kernel(abi: int, filters: bool = True) -> None:
            monkeypatch.setattr(confinement, "landlock_abi", lambda: abi)
            monkeypatch.setattr(confinement.system_calls, "is_supported", lambda: filters)
            monkeypatch.setattr(confinement.platform, "system", lambda: "Linux")

        return kernel

    def test_a_new_kernel_lacks_nothing(self, kernel):
        kernel(6)
        assert missing_protections() == []
        assert all(available_protections().values())

    def test_an_older_one_lacks_the_scopes_unless_they_are_excused(self, kernel):
        kernel(5)
        assert missing_protections() == SCOPES
        assert missing_protections(("signal-scope",)) == SCOPES[1:]
        assert missing_protections(("abstract-socket-scope", "signal-scope")) == []

    def test_without_landlock_files_are_open_and_nothing_excuses_that(self, kernel):
        kernel(0)
        everything = tuple(protection.value for protection in Protection)
        assert missing_protections(everything) == [Protection.FILES]
        assert set(missing_protections()) == {Protection.FILES, *SCOPES}

    def test_without_a_filter_the_rest_is_open(self, kernel):
        kernel(6, filters=False)
        everything = tuple(protection.value for protection in Protection)
        lacks = {Protection.NETWORK, Protection.PROCESSES, Protection.SIGNALS, Protection.TRACING}
        assert set(missing_protections(everything)) == lacks

    def test_another_system_lacks_everything(self, monkeypatch):
        monkeypatch.setattr(confinement.platform, "system", lambda: "Darwin")
        assert missing_protections() == list(Protection)

    def test_a_process_refuses_to_go_on_without_them(self, kernel, tmp_path):
        kernel(0)
        with pytest.raises(ConfinementError, match="this kernel lacks: files, signal-scope, abstract-socket-scope"):
            confine_this_process(str(tmp_path), ConfinementLimits())

    def test_a_missing_library_counts_as_a_missing_landlock(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "sandlock", None)
        assert confinement.landlock_abi() == 0


class TestReadablePaths:
    def test_the_interpreter_and_the_libraries_are_readable_and_the_course_is_not(self):
        paths = [Path(path) for path in readable_paths()]
        assert Path(sys.prefix).resolve() in paths
        assert all(path.exists() for path in paths)
        for secret in (
            ROOT / "course.toml",
            ROOT / "tests" / "checks",
            Path("/etc/passwd"),
            Path("/root"),
            Path("/tmp"),
        ):
            assert not any(secret.is_relative_to(path) for path in paths), secret


# Every attempt of the confined process: name -> expression. The outcome of each is the name of its error, or "allowed".
ATTEMPTS = {
    "read own file": "open('own.txt').read()",
    "write own file": "open('new.txt', 'w').write('x')",
    "make own folder": "os.mkdir('folder')",
    "remove own file": "os.remove('victim.txt')",
    "read a library": "open(os.__file__).read()",
    "import a library": "__import__('wave')",
    "compute": "np.linalg.inv(np.eye(50)).sum()",
    "start a thread": "run_thread()",
    "read the null device": "open('/dev/null').read()",
    "random bytes": "os.urandom(8)",
    "read the manifest": "open(SECRET).read()",
    "list the course": "os.listdir(os.path.dirname(SECRET))",
    "read the password file": "open('/etc/passwd').read()",
    "read a file beside": "open(BESIDE).read()",
    "read through a link": "open('link').read()",
    "write a library": "open(os.__file__, 'a')",
    "write beside": "open(BESIDE, 'w')",
    "write to /tmp": "open('/tmp/confined-was-here', 'w')",
    "remove beside": "os.remove(BESIDE)",
    "move beside away": "os.rename(BESIDE, 'stolen')",
    "link to beside": "os.link(BESIDE, 'hard')",
    "truncate beside": "os.truncate(BESIDE, 0)",
    "change the mode of its own": "os.chmod('own.txt', 0o777)",
    "change a time of its own": "os.utime('own.txt')",
    "environment of the parent": "open(f'/proc/{os.getppid()}/environ', 'rb').read()",
    "memory of the parent": "open(f'/proc/{os.getppid()}/mem', 'rb').read(1)",
    "a socket": "socket.socket()",
    "a local socket": "socket.socketpair()",
    "fork": "os.fork()",
    "a program": "os.execv('/bin/true', ['true'])",
    "signal the parent": "os.kill(os.getppid(), 0)",
    "signal the group": "os.kill(0, 0)",
    "signal everybody": "os.kill(-1, 0)",
    "signal itself": "os.kill(os.getpid(), 0)",
    "become somebody else": "os.setuid(12345)",
    "a device": "os.mknod('device', 0o600 | 0o020000, os.makedev(1, 3))",
    "memory without end": "bytearray(600 << 20)",
    "some memory": "bytearray(20 << 20)",
    "a file without end": "fill()",
    "files without number": "[open('own.txt') for _ in range(500)]",
    "more limits": "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "a core file": "resource.getrlimit(resource.RLIMIT_CORE)[0] and 1 / 0",
    "chroot": "os.chroot('.')",
}
GRANTED = {
    "read own file",
    "write own file",
    "make own folder",
    "remove own file",
    "read a library",
    "import a library",
    "compute",
    "start a thread",
    "read the null device",
    "random bytes",
    "signal itself",
    "some memory",
    "a core file",
}
PROGRAM = """
import json, os, resource, signal, socket, sys, threading
import numpy as np
from grader.sandbox.confinement import ConfinementLimits, close_other_descriptors, confine_this_process

directory, SECRET, BESIDE = sys.argv[1:4]
os.chdir(directory)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

def run_thread():
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()

def fill():
    with open("large", "wb") as file:
        for _ in range(10):
            file.write(bytes(1 << 20))

def attempt(expression):
    try:
        eval(expression)
    except BaseException as error:
        return type(error).__name__
    return "allowed"

inherited = os.open(SECRET, os.O_RDONLY)
close_other_descriptors({0, 1, 2})
report = {"an inherited file": attempt("os.read(inherited, 1)")}
confine_this_process(directory, ConfinementLimits(300 << 20, 60, 4 << 20))
try:
    confine_this_process(directory, ConfinementLimits(1 << 40, 60, 1 << 40))
except BaseException as error:
    report["confine again with more"] = type(error).__name__
for name, expression in json.load(sys.stdin).items():
    report[name] = attempt(expression)
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What became of every attempt; one process makes them all."""
    directory = tmp_path_factory.mktemp("confined")
    beside = tmp_path_factory.mktemp("beside") / "beside.txt"
    beside.write_text("somebody else's")
    for name in ("own.txt", "victim.txt"):
        (directory / name).write_text("mine")
    (directory / "link").symlink_to(beside)
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(directory), str(ROOT / "course.toml"), str(beside)],
        input=json.dumps(ATTEMPTS),
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert beside.read_text() == "somebody else's"
    assert not Path("/tmp/confined-was-here").exists()
    outcomes = json.loads(done.stdout)
    outcomes["largest file"] = (directory / "large").stat().st_size
    return outcomes


@confined
class TestAConfinedProcess:
    @pytest.mark.parametrize("name", sorted(GRANTED))
    def test_may(self, outcomes, name):
        assert outcomes[name] == "allowed"

    @pytest.mark.parametrize("name", sorted(ATTEMPTS.keys() - GRANTED))
    def test_may_not(self, outcomes, name):
        refused = {"PermissionError", "OSError", "MemoryError", "ValueError", "FileNotFoundError"}
        assert outcomes[name] in refused

    def test_the_reasons_are_the_right_ones(self, outcomes):
        assert (
            outcomes["read the manifest"] == outcomes["a socket"] == outcomes["signal the parent"] == "PermissionError"
        )
        assert outcomes["memory without end"] == "MemoryError"
        assert outcomes["a file without end"] == outcomes["files without number"] == "OSError"

    def test_no_file_grows_beyond_its_limit(self, outcomes):
        assert outcomes["largest file"] == 4 << 20

    def test_files_that_were_open_are_closed(self, outcomes):
        assert outcomes["an inherited file"] == "OSError"

    def test_rights_do_not_come_back(self, outcomes):
        assert outcomes["confine again with more"] in ("ValueError", "PermissionError", "OSError", "ConfinementError")
