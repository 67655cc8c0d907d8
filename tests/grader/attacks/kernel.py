"""Attacks on the confinement itself, by the kernel's interfaces."""

from tests.grader.attacks.model import Answer, Attack

SOCKETS = """
import http.client, socket, urllib.request
for family in range(0, 46):
    for kind in (1, 2, 3, 5):
        attempt(f"socket {family} {kind}", lambda: socket.socket(family, kind))
        attempt(f"syscall socket {family} {kind}", lambda: call((41, 198), family, kind, 0))
attempt("socketpair", lambda: socket.socketpair())
attempt("pair of datagrams", lambda: call((53, 199), 1, 2, 0, ctypes.create_string_buffer(8)))
for host in ("127.0.0.1", "::1", "169.254.169.254", "pypi.org"):
    attempt("connect " + host, lambda: socket.create_connection((host, 80), 1))
    attempt("http " + host, lambda: http.client.HTTPConnection(host, timeout=1).request("GET", "/"))
    attempt("urlopen " + host, lambda: urllib.request.urlopen(f"http://{host}/", timeout=1))
attempt("name", lambda: socket.getaddrinfo("example.org", 80))
attempt("name of this machine's network", lambda: socket.if_nameindex())
line = socket.socket(fileno=os.dup(LINE))
attempt("bind the line", lambda: line.bind(b"\\0abstract"))
attempt("connect the line", lambda: line.connect(b"\\0abstract"))
attempt("listen on the line", lambda: line.listen())
attempt("urgent data", lambda: line.send(b"x", socket.MSG_OOB))
attempt("urgent answer", lambda: line.recv(1, socket.MSG_OOB))
attempt("listen at a path", lambda: line.bind(os.getcwd() + "/socket"))
"""

INTERFACES = """
buffer = ctypes.create_string_buffer(4096)
TRIES = {
    "io_uring_setup": ((425, 425), 4, buffer), "io_uring_enter": ((426, 426), 0, 0, 0, 0, None, 0),
    "io_uring_register": ((427, 427), -1, 0, None, 0), "io_setup": ((206, 0), 1000, ctypes.byref(ctypes.c_ulong())),
    "bpf": ((321, 280), 0, buffer, 48), "perf_event_open": ((298, 241), buffer, 0, -1, -1, 0),
    "userfaultfd": ((323, 282), 1), "keyctl": ((250, 219), 0, -3, 1),
    "add_key": ((248, 217), b"user", b"x", b"x", 1, -3),
    "request_key": ((249, 218), b"user", b"x", None, 0), "memfd_create": ((319, 279), b"x", 0),
    "shmget": ((29, 194), 0, 4096, 0o1600), "msgget": ((68, 186), 0, 0o1600), "semget": ((64, 190), 0, 1, 0o1600),
    "mq_open": ((240, 180), b"x", 0o102, 0o600, None),
    "mount": ((165, 40), b"none", b"/tmp", b"tmpfs", 0, None), "umount2": ((166, 39), b"/nowhere", 0),
    "open_tree": ((428, 428), -100, b"/", 1), "fsopen": ((430, 430), b"tmpfs", 0),
    "fspick": ((433, 433), -100, b"/", 0),
    "move_mount": ((429, 429), -1, b"", -1, b"", 0), "mount_setattr": ((442, 442), -100, b"/", 0, buffer, 32),
    "chroot": ((161, 51), b"."), "pivot_root": ((155, 41), b".", b"."),
    "unshare user": ((272, 97), 0x10000000), "unshare mount": ((272, 97), 0x20000),
    "unshare net": ((272, 97), 0x40000000), "unshare files": ((272, 97), 0x400), "setns": ((308, 268), 0, 0),
    "init_module": ((175, 105), buffer, 10, b""), "finit_module": ((313, 273), 0, b"", 0),
    "delete_module": ((176, 106), b"nothing", 0), "kexec_load": ((246, 104), 0, 0, None, 0),
    "reboot": ((169, 142), 0, 0, 0, None), "swapon": ((167, 224), b"/nowhere", 0), "acct": ((163, 89), b"/nowhere"),
    "quotactl": ((179, 60), 0, None, 0, None), "syslog": ((103, 116), 3, buffer, 100),
    "settimeofday": ((164, 170), None, None), "clock_settime": ((227, 112), 0, None),
    "clock_adjtime": ((305, 266), 0, buffer), "sethostname": ((170, 161), None, 100000),
    "personality": ((135, 92), 0x0040000), "iopl": ((172, None), 3), "ioperm": ((173, None), 0, 1, 1),
    "setuid": ((105, 146), 12345), "setgid": ((106, 144), 12345), "setresuid": ((117, 147), 1, 1, 1),
    "setgroups": ((116, 159), 0, None),
    "sync": ((162, 81),), "syncfs": ((306, 267), 0), "modify_ldt": ((154, None), 0, buffer, 16),
    "vhangup": ((153, 58),), "lookup_dcookie": ((212, 18), 0, buffer, 100),
    "another architecture's numbers": ((0x40000000 + 41, 10**6), 1, 1, 0),
}
for name, (numbers, *arguments) in TRIES.items():
    attempt(name, lambda: call(numbers, *arguments))
"""

LIMITS = """
import resource
for name in [name for name in dir(resource) if name.startswith("RLIMIT_")]:
    which = getattr(resource, name)
    soft, hard = resource.getrlimit(which)
    if name == "RLIMIT_STACK" or hard == resource.RLIM_INFINITY:
        continue
    attempt("raise " + name, lambda: resource.setrlimit(which, (hard + 1, hard + 1)))
    attempt("lift " + name, lambda: resource.setrlimit(which, (-1, -1)))
    attempt("prlimit " + name, lambda: resource.prlimit(ME, which, (hard + 1, hard + 1)))
    attempt("prlimit of the grader " + name, lambda: resource.prlimit(GRADER, which))
    attempt("set the grader's " + name, lambda: resource.prlimit(GRADER, which, (1, 1)))
for name in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE", "RLIMIT_MEMLOCK"):
    if -1 in resource.getrlimit(getattr(resource, name)):
        print("GOT no limit", name)


class Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("process", ctypes.c_int)]


everything = (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
attempt("capset", lambda: call((126, 91), ctypes.byref(Header(0x20080522, 0)), everything))
attempt("no filter any more", lambda: call((157, 167), 22, 0, 0, 0, 0))
attempt("new privileges again", lambda: call((157, 167), 38, 0, 0, 0, 0))
attempt("keep capabilities", lambda: call((157, 167), 28, 0x3F, 0, 0, 0))
attempt("an ambient capability", lambda: call((157, 167), 47, 2, 1, 0, 0))
attempt("move the break", lambda: call((157, 167), 35, 1, 0, 0, 0))
attempt("mlockall", lambda: call((151, 230), 2))
attempt("filter with a listener", lambda: call((317, 277), 1, 8, None))
allow = struct.pack("<HBBI", 6, 0, 0, 0x7FFF0000)
program = ctypes.create_string_buffer(allow)
argument = struct.pack("<HxxxxxxQ", 1, ctypes.addressof(program))
call((317, 277), 1, 0, argument)  # one more filter may only take away
attempt("open", lambda: open("/etc/passwd"))
attempt("write to the kernel", lambda: open("/proc/self/oom_score_adj", "w"))
attempt("write into itself", lambda: open("/proc/self/mem", "r+b"))
for path in ("/proc/sys/kernel/core_pattern", "/sys/kernel/mm/ksm/run", "/dev/mem", "/dev/kmsg", "/dev/kvm"):
    attempt(path, lambda: open(path, "r+b"))
"""

OLD_CALLS = """
import mmap
# int 0x80 with eax = 2: fork as 32-bit programs ask for it
code = b"\\xb8\\x02\\x00\\x00\\x00\\xcd\\x80\\xc3"
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(code)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
if COLUMN == 0:
    print("GOT", ctypes.CFUNCTYPE(ctypes.c_int)(address)())
"""

ATTACKS = (
    Attack("sockets", "open sockets of all families, pairs, connections, names", SOCKETS, answer=Answer.WRONG,
           limits={"seconds": 20}),
    Attack("kernel-interfaces", "io_uring, bpf, perf, keys, mounts, namespaces, modules, clocks, users", INTERFACES,
           answer=Answer.WRONG),
    Attack("lift-limits", "raise limits, regain capabilities, undo the filter, write to the kernel", LIMITS,
           answer=Answer.WRONG),
    Attack("old-system-calls", "fork by the 32-bit system call, with machine code of its own", OLD_CALLS),
)  # fmt: skip
