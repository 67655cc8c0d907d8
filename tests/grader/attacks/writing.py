"""Attacks on files: changing what belongs to others, and filling or spoiling the disk."""

from tests.grader.attacks.model import QUICK, Answer, Attack

WRITE_OUTSIDE = """
import shutil
TARGETS = HIDDEN + [COURSE + "/course.toml", HOME + "/notes.txt", os.path.dirname(os.getcwd()) + "/student-numpy"]
PLACES = [COURSE, COURSE + "/results", COURSE + "/submitted", COURSE + "/.git/hooks", HOME, REPO, "/tmp", "/dev/shm",
          "/var/tmp", "/etc", "/usr/lib", "/run", "..", os.path.dirname(os.getcwd()), "/proc/self", sys.prefix]
libc = ctypes.CDLL(None, use_errno=True)


def by_libc(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


for place in PLACES:
    path = place + "/attack-was-here"
    attempt("create " + path, lambda: os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    attempt("O_TMPFILE " + place, lambda: os.open(place, os.O_TMPFILE | os.O_RDWR))
    attempt("mkdir " + path, lambda: os.mkdir(path))
    attempt("symlink " + path, lambda: os.symlink("/", path))
    attempt("mkfifo " + path, lambda: os.mkfifo(path))
    attempt("rename to " + path, lambda: (open("mine", "w"), os.rename("mine", path)))
    attempt("link to " + path, lambda: (open("mine", "w"), os.link("mine", path)))
    attempt("chmod " + place, lambda: os.chmod(place, os.stat(place).st_mode & 0o7777))
    attempt("utime " + place, lambda: os.utime(place, (1, 1)) if COURSE in place or HOME in place else 1 / 0)
for path in TARGETS:
    attempt("write " + path, lambda: open(path, "w"))
    attempt("append " + path, lambda: open(path, "a"))
    attempt("truncate " + path, lambda: os.truncate(path, 0))
    attempt("open and truncate " + path, lambda: os.open(path, os.O_RDONLY | os.O_TRUNC))
    attempt("unlink " + path, lambda: os.unlink(path))
    attempt("rename " + path, lambda: os.rename(path, path + "-"))
    attempt("exchange " + path, lambda: by_libc("renameat2", -100, path.encode(), -100, b"mine", 2))
    attempt("chmod " + path, lambda: os.chmod(path, 0o777))
    attempt("chmod by libc " + path, lambda: by_libc("chmod", path.encode(), 0o777))
    attempt("fchmodat2 " + path, lambda: call((452, 452), -100, path.encode(), 0o777, 0))
    attempt("chown " + path, lambda: os.chown(path, 12345, 12345))
    attempt("utime " + path, lambda: os.utime(path, (1, 1)))
    attempt("setxattr " + path, lambda: os.setxattr(path, "user.attack", b"x"))
    attempt("setxattrat " + path, lambda: call((463, 463), -100, path.encode(), 0, b"user.attack", None, 16))
    attempt("file_setattr " + path, lambda: call((469, 469), -100, path.encode(), bytes(24), 24, 0))
    attempt("link " + path, lambda: os.link(path, "taken"))
    attempt("through a link " + path, lambda: (os.symlink(path, f"way{len(os.listdir())}"),
                                               open(f"way{len(os.listdir()) - 1}", "a")))
attempt("rmtree", lambda: (shutil.rmtree(COURSE), shutil.rmtree(COURSE + "/results")))
own = os.getcwd()
os.rmdir(own) if not os.listdir(own) else None
"""

HOLD_FILES = """
import fcntl
import numpy
path = numpy.__file__
descriptor = os.open(path, os.O_RDONLY)
for kind in (0, 1):
    attempt("lease", lambda: fcntl.fcntl(descriptor, 1024, kind))
attempt("directory notice", lambda: fcntl.fcntl(os.open(os.path.dirname(path), os.O_RDONLY), 1026, 0x8000001F))
attempt("write lock", lambda: fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB))
flags = ctypes.create_string_buffer(64)
for name, request in {"SETFLAGS": 0x40086602, "FSSETXATTR": 0x401C5820, "ENABLE_VERITY": 0x40806685,
                      "FIFREEZE": 0xC0045877, "FITRIM": 0xC0185879, "FIOSETOWN": 0x8901, "TIOCSTI": 0x5412}.items():
    attempt("ioctl " + name, lambda: fcntl.ioctl(descriptor, request, flags))
for name in ["utime", "chmod", "chown", "setxattr"]:
    change = {"utime": lambda: os.utime(descriptor, (1, 1)), "chmod": lambda: os.fchmod(descriptor, 0o666),
              "chown": lambda: os.fchown(descriptor, 1, 1), "setxattr": lambda: os.setxattr(descriptor, "user.a", b"")}
    attempt("f" + name, change[name])
attempt("mark for writing", lambda: os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR))
attempt("inotify", lambda: call((253, None)))
attempt("inotify_init1", lambda: call((294, 26), 0))
attempt("fanotify", lambda: call((300, 262), 0, 0))
attempt("name_to_handle_at", lambda: call((303, 264), -100, path.encode(), flags, flags, 0))
attempt("open_by_handle_at", lambda: call((304, 265), descriptor, flags, 0))
"""

FILL_DISK = """
block = b"x" * (1 << 20)
for number in range(16):
    with open(f"big{number}", "wb", 0) as file:
        try:
            for _ in range(70):
                file.write(block)
        except OSError:
            pass
total = sum(os.stat(name).st_size for name in os.listdir())
print("GOT", total >> 20, "MB")
"""

DELETED_FILES = """
block, total, kept = b"x" * (1 << 20), 0, []
for number in range(10):
    kept.append(os.open("f", os.O_CREAT | os.O_RDWR))
    os.unlink("f")
    for _ in range(60):
        total += os.write(kept[-1], block)
print("GOT", total >> 20, "MB without a name")
"""

NAMELESS_FILES = """
block, total, kept = b"x" * (1 << 20), 0, []
for number in range(10):
    kept.append(os.open(".", os.O_TMPFILE | os.O_RDWR))
    for _ in range(60):
        total += os.write(kept[-1], block)
print("GOT", total >> 20, "MB that never had a name")
"""

SPARSE = """
with open("sparse", "wb") as file:
    attempt("sparse file", lambda: file.truncate(1 << 40))
    attempt("allocation", lambda: os.posix_fallocate(file.fileno(), 0, 60 << 20))
    attempt("one byte far away", lambda: (file.seek(1 << 40), file.write(b"x"), file.flush()))
for name in ["memfd_create", "memfd_secret"]:
    attempt(name, lambda: call({"memfd_create": (319, 279), "memfd_secret": (447, 447)}[name], b"x", 0))
"""

SMALL_FILES = """
for number in range(30_000):
    os.close(os.open(str(number), os.O_CREAT | os.O_WRONLY))
print("GOT", number + 1, "files")
"""

FOLDERS = """
for number in range(20_000):
    os.mkdir(str(number))
print("GOT", number + 1, "folders, 4 KB each")
"""

DEEP_FOLDERS = """
for number in range(5_000):
    os.mkdir("d")
    os.chdir("d")
open("bottom", "w").write("x" * 1000)
time.sleep(0.3)
"""

ODD_FOLDERS = """
os.makedirs("closed/inner")
open("closed/inner/file", "w").write("x")
os.mkdir("no-rights", 0)
os.mkdir("no-reading", 0o300)
try:
    open("no-reading/hidden", "w").write("x" * 1000)
    os.mkdir("no-reading/deeper", 0o100)
except OSError:
    pass
os.symlink("/", "everything")
os.symlink("loop", "loop")
os.symlink(COURSE, "course")
os.link("closed/inner/file", "again")
open("\\udcff\\udcfe new\\nline -rf *", "w").write("x")
open("-rf", "w").write("x")
os.mkdir("x" * 255)
"""

SWAP_FOLDERS = """
os.mkdir("real")
os.symlink("/", "link")
libc = ctypes.CDLL(None)
end = time.monotonic() + 1.5
while time.monotonic() < end:
    libc.renameat2(-100, b"real", -100, b"link", 2)
"""


ATTACKS = (
    Attack("write-outside", "create, change, rename, chmod, touch or remove checks, results, the gradebook, the grader",
           WRITE_OUTSIDE, answer=Answer.WRONG),
    Attack("hold-files", "take leases and locks on libraries, set their flags, watch and mark them", HOLD_FILES,
           answer=Answer.WRONG, may=("ioctl TCGETS",)),
    Attack("fill-disk", "write 1 GB into 16 files", FILL_DISK),
    Attack("deleted-files", "write 600 MB into files that it has deleted", DELETED_FILES),
    Attack("nameless-files", "write 600 MB into files that never had a name", NAMELESS_FILES),
    Attack("sparse-files", "make files of a terabyte, in memory too", SPARSE),
    Attack("many-files", "make 30,000 empty files", SMALL_FILES, limits={"seconds": 10}),
    Attack("many-folders", "make 20,000 folders", FOLDERS, limits={"seconds": 10}),
    Attack("deep-folders", "nest folders deeper than a path or a recursion can go", DEEP_FOLDERS),
    Attack("odd-folders", "leave folders without rights, links in circles, names like options", ODD_FOLDERS),
    Attack("swap-folders", "exchange a folder and a link to / while it is being measured", SWAP_FOLDERS, limits=QUICK),
)  # fmt: skip
