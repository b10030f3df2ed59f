"""Small programs that change files in every usual way, and the tree that they are run in. None depends on the time."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["PROGRAMS", "Program", "plant"]

LONG_AGO = 1_200_000_000


@dataclass(frozen=True, kw_only=True)
class Program:
    """A shell script (sh -e) run in the tree, and its exit code; `needs` are commands without which it is skipped.

    `root` says that an ordinary user cannot do it. `linked` says that it touches files with several names: what it does
    to those can only be guessed where overlayfs has no index. `closed` says that its owner cannot read the outcome.
    """

    name: str
    script: str
    needs: tuple[str, ...] = ()
    code: int = 0
    root: bool = False
    linked: bool = False
    closed: bool = False


def plant(tree: Path) -> None:
    """Make the tree: texts, binary data, links of both kinds, modes, attributes; all times are long past."""
    noise = random.Random(4)  # noqa: S311 - data, not a secret
    for folder in ("docs/deep/er", "bin", "many", "empty", "links"):
        (tree / folder).mkdir(parents=True)
    for name in ("a", "b", "c", "docs/one", "docs/two", "docs/deep/three", "docs/deep/er/four"):
        (tree / f"{name}.txt").write_text("".join(f"{name} line {number * 7 % 40}\n" for number in range(40)))
    (tree / "data.bin").write_bytes(noise.randbytes(200_000))
    (tree / "bin/tool").write_text("#!/bin/sh\necho tool\n")
    (tree / "bin/tool").chmod(0o755)
    for number in range(20):
        (tree / f"many/{number:02}").write_text(str(number))
    (tree / "link").symlink_to("docs/one.txt")
    (tree / "folder-link").symlink_to("docs")
    (tree / "dangling").symlink_to("nowhere")
    for name in ("x", "y"):
        (tree / f"links/{name}1").write_text(f"{name}\n")
        os.link(tree / f"links/{name}1", tree / f"links/{name}2")
    os.link(tree / "links/x1", tree / "docs/x3")
    (tree / "odd \n name").write_text("odd\n")
    (tree / os.fsdecode(b"not \xff utf-8")).write_text("bytes\n")
    os.mkfifo(tree / "pipe")
    with (tree / "sparse").open("wb") as file:
        file.write(b"start")
        file.truncate(2_000_000)
    os.setxattr(tree / "c.txt", "user.note", b"kept")
    (tree / "patch").write_text("--- a.txt\n+++ a.txt\n@@ -1,2 +1,3 @@\n a line 0\n-a line 7\n+patched\n+more\n")
    (tree / "mapped.c").write_text(_MAPPED)
    accessed = LONG_AGO
    for where, folders, files in os.walk(tree):
        for name in sorted([*folders, *files]):
            accessed += 1  # so that a file can be known by it
            os.utime(Path(where, name), (accessed, LONG_AGO), follow_symlinks=False)
    os.utime(tree, (LONG_AGO, LONG_AGO))


_MAPPED = r"""
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int fd = open(argv[1], O_RDWR);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) return 1;
    char *map = mmap(0, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) return 2;
    close(fd);
    memset(map + st.st_size / 2, 'M', 100);
    return 0;
}
"""

_GIT = """
export GIT_AUTHOR_DATE='2001-01-01T00:00:00Z' GIT_COMMITTER_DATE='2001-01-01T00:00:00Z'
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
g() {
    git -c user.name=n -c user.email=e@x -c core.fsync=none -c pack.threads=1 -c init.defaultBranch=main \
        -c gc.auto=0 -c maintenance.auto=false "$@"
}
g init -q; g add docs a.txt links; g commit -qm one
rm .git/index  # it holds the times of all files
"""

_ACCESS_LIST = """
import os
# user::rwx user:<own>:r-- group::r-- mask::r-- other::r-- (linux/posix_acl_xattr.h)
entries = [(1, 7, 2**32 - 1), (2, 4, os.getuid()), (4, 4, 2**32 - 1), (16, 4, 2**32 - 1), (32, 4, 2**32 - 1)]
access = b"\\2\\0\\0\\0" + b"".join(
    tag.to_bytes(2, "little") + rights.to_bytes(2, "little") + who.to_bytes(4, "little") for tag, rights, who in entries
)
os.setxattr("a.txt", "system.posix_acl_access", access)
os.setxattr("docs", "system.posix_acl_default", access)
open("docs/new", "w").close()
os.mkdir("docs/sub")
"""


def _sh(name: str, script: str, *needs: str, **more: Any) -> Program:
    return Program(name=name, script=script, needs=needs, **more)


def _py(name: str, code: str, **more: Any) -> Program:
    return Program(name=name, script=f"python3 -I - <<'END'\n{code}\nEND", needs=("python3",), **more)


PROGRAMS = (
    # --- plain files
    _sh("append", "echo more >> a.txt"),
    _sh("overwrite", "echo new > a.txt"),
    _sh("create", "echo new > new; mkdir -p n/e/w; : > n/e/w/empty"),
    _sh("nothing", "cat a.txt docs/one.txt > /dev/null; ls -lR > /dev/null"),
    _sh("temporary-files", "echo x > tmp; mkdir t; mv tmp t; rm -r t"),
    _sh("rewrite-same", "cp -p a.txt t; cat t > a.txt; rm t; touch -d @1200000000 a.txt"),
    _sh("umask", "umask 077; echo x > private; mkdir closed; umask 000; echo y > open"),
    _sh("sed-i", "sed -i s/line/LINE/ a.txt docs/one.txt; sed -i.bak s/1/2/ b.txt"),
    _sh("sort-o", "sort -o a.txt a.txt; sort -u -o docs/sorted b.txt docs/two.txt"),
    _sh("split", "split -b 50000 data.bin part-; cat part-* > whole; rm part-aa"),
    _sh("patch", "patch -s -p0 < patch", "patch"),
    _sh(
        "tee-and-awk",
        "awk '{ print NR, $0 }' a.txt > t; cat t > a.txt; tee -a b.txt docs/two.txt < c.txt > /dev/null",
    ),
    _sh("truncate", "truncate -s 10 a.txt; truncate -s +100 b.txt; truncate -s 5M c.txt; truncate -s 1M sparse"),
    _sh("dd", "dd if=/dev/zero of=data.bin bs=1000 count=3 seek=50 conv=notrunc status=none"),
    _sh("install", "install -m 750 bin/tool bin/2; install -d -m 2775 dirs/a; install -m 600 a.txt b.txt"),
    _py("2000-files", "import os\nos.mkdir('n')\nfor i in range(2000):\n    open(f'n/{i}', 'w').write(str(i))"),
    _py(
        "unnamed",
        "import os\nf = os.open('.', os.O_TMPFILE | os.O_RDWR)\nos.write(f, b'x')\nopen('n', 'w')",
    ),
    # --- copies and renames
    _sh("cp", "cp a.txt d.txt; cp b.txt docs/one.txt"),
    _sh("cp-archive", "cp -a docs copy; cp -a many/. empty"),
    _sh("cp-links", "cp -a links again; cp -al docs hard", linked=True),
    _sh("cp-sparse", "cp --sparse=always sparse sparse2; cp --sparse=never sparse full"),
    _sh("mv", "mv a.txt z.txt; mv b.txt docs"),
    _sh("mv-over", "mv a.txt b.txt; mv -f docs/one.txt docs/two.txt"),
    _sh("mv-folder", "mv docs papers", linked=True),
    _sh("mv-folder-and-back", "mv many other; mv other many"),
    _sh("mv-folder-into", "mv many docs/deep; mv docs/deep deep"),
    _sh("mv-new-folder", "mkdir n; echo x > n/x; mv n m; mv m docs"),
    _sh("swap-names", "mv a.txt t; mv b.txt a.txt; mv t b.txt"),
    _sh("many-renames", "for i in 0 1 2 3 4; do mv many/0$i many/x$i; mv many/x$i many/0$(((i + 1) % 5)); done"),
    _sh("rsync", "rsync -a --delete many/ empty/; rsync -a --inplace a.txt b.txt", "rsync"),
    _py(
        "renameat2",
        "import ctypes\nlibc = ctypes.CDLL(None)\nassert libc.renameat2(-100, b'a.txt', -100, b'b.txt', 2) == 0"
        "\nassert libc.renameat2(-100, b'c.txt', -100, b'a.txt', 1) != 0",
    ),
    _py("python-shutil", "import shutil as s\ns.copytree('docs', 'd2')\ns.move('many', 'm2')\ns.rmtree('bin')"),
    _py(
        "python-os",
        "import os\nopen('a.txt', 'r+').write('A')\nos.rename('b.txt', 'docs/1')\nos.removedirs('empty')",
    ),
    # --- removals and changes of type
    _sh("rm", "rm a.txt link dangling"),
    _sh("rm-tree", "rm -r docs many", linked=True),
    _sh("rm-and-again", "rm -r many; mkdir many; for i in 1 2 3; do echo $i > many/0$i; done"),
    _sh("rmdir", "rmdir empty; mkdir empty; rmdir empty"),
    _sh("find-delete", "find many -name '*1' -delete; find docs -empty -delete"),
    _sh("file-to-folder", "rm a.txt; mkdir a.txt; echo in > a.txt/in"),
    _sh("folder-to-file", "rm -r many; echo file > many; rm -r empty; ln -s many empty; rm pipe; echo p > pipe"),
    _sh("folder-to-file-and-back", "cp -a docs t; rm -r docs; : > docs; rm docs; mv t docs", linked=True),
    # --- links
    _sh("ln", "ln a.txt n1; ln n1 docs/n2; echo via >> docs/n2"),
    _sh("ln-s", "ln -s a.txt s; ln -sfn bin folder-link; ln -sf new-target dangling"),
    _sh("ln-over", "ln -f a.txt b.txt; ln -f c.txt links/y1", linked=True),
    _sh("link-swaps", "rm link; cp a.txt link; rm b.txt; ln -s a.txt b.txt; rm folder-link; mkdir folder-link"),
    _sh("through-links", "echo more >> link; echo new > folder-link/new; echo made > dangling"),
    _sh("sed-i-linked", "sed -i s/x/new/ links/x1", linked=True),
    _sh("write-linked", "echo more >> links/x1", linked=True),
    _sh("write-linked-other", "echo more >> docs/x3; echo y > links/y2", linked=True),
    _sh("rm-linked", "rm links/x1 links/y1 links/y2", linked=True),
    _sh("chmod-linked", "chmod 600 links/y1; touch -d @77 links/x2", linked=True),
    _sh("mv-linked-and-write", "mv links/y1 moved; echo more >> moved", linked=True),
    _sh("write-linked-and-rm", "echo more >> links/x2; rm links/x2", linked=True),
    # --- metadata
    _sh("touch", "touch a.txt; touch -d @99 b.txt; touch -h -d @5 link; touch docs new"),
    _sh("chmod", "chmod -R go-rwx bin many; chmod u+s,g+s bin/tool; chmod 1777 empty; chmod 644 a.txt"),
    _sh("chmod-closed", "chmod a= b.txt; mkdir -m 0 shut; chmod u-x many", closed=True),
    _sh("metadata-and-back", "chmod 600 a.txt; chmod 644 a.txt; chmod 700 docs; chmod 755 docs"),
    _sh("mkdir-modes", "mkdir -m 1777 sticky; mkdir -m 2755 group; : > group/in"),
    _sh("chown-R", "chown -R 1:2 many bin; chown -h 3:3 link; chown 4 docs", root=True),
    _sh("chown-suid", "chmod 6755 bin/tool; chown 5:5 bin/tool", root=True),
    _py(
        "xattrs",
        "import os\nos.setxattr('a.txt', 'user.new', b'1')\nos.setxattr('docs', 'user.d', b'2')"
        "\nos.removexattr('c.txt', 'user.note')\nos.setxattr('b.txt', 'user.big', b'v' * 2000)",
    ),
    _py("xattr-empty", "import os\nos.setxattr('c.txt', 'user.note', b'')"),
    _py("acl", _ACCESS_LIST),
    _sh("setfacl", "setfacl -m u:1:rw a.txt; setfacl -d -m u:2:r docs; : > docs/new", "setfacl", root=True),
    _py(
        "capability",  # cap_net_raw+ep (capabilities(7))
        "import os\nos.setxattr('bin/tool', 'security.capability', bytes.fromhex('0100000200200000' + '00' * 12))",
        root=True,
    ),
    _sh("setcap", "cp bin/tool t; setcap cap_net_raw+ep t; cp -a t t2; echo x >> t", "setcap", root=True),
    _py(
        "by-descriptor",
        "import os\nf = os.open('a.txt', 0)\nos.fchmod(f, 0o711)\nos.utime(f, (9, 9))\nos.setxattr(f, 'user.n', b'v')",
    ),
    # --- archives
    _sh("tar", "tar -cf all.tar --sort=name docs many; mkdir out; tar -xf all.tar -C out", "tar"),
    _sh("tar-over", "tar -cf t.tar a.txt b.txt; echo x > a.txt; rm b.txt; tar -xf t.tar", "tar"),
    _sh("gzip", "gzip -n a.txt data.bin; gzip -nk b.txt; gunzip a.txt.gz", "gzip"),
    _sh("zip", "python3 -I -m zipfile -c a.zip a.txt docs/one.txt; python3 -I -m zipfile -e a.zip out", "python3"),
    # --- other ways to write
    _py("mmap", "import mmap\nf = open('data.bin', 'r+b')\nm = mmap.mmap(f.fileno(), 0)\nm[5000:5005] = b'hello'"),
    _sh("mmap-in-c", "gcc -o mapped mapped.c; ./mapped data.bin; ./mapped docs/one.txt; rm mapped", "gcc"),
    _sh("gcc", "gcc -o mapped mapped.c; gcc -c -O2 mapped.c", "gcc"),
    _py("pwrite", "import os\nf = os.open('sparse', os.O_RDWR)\nos.pwrite(f, b'mid', 500000)\nos.ftruncate(f, 900000)"),
    _py("fallocate", "import os\nos.posix_fallocate(os.open('a.txt', os.O_RDWR), 0, 100000)"),
    _sh("punch-hole", "truncate -s 5M hole; echo end >> hole; fallocate -p -o 4096 -l 65536 data.bin", "fallocate"),
    _py("sendfile", "import os\nos.sendfile(os.open('b.txt', 1), os.open('data.bin', 0), 7, 1000)"),
    _py("copy-file-range", "import os\nos.copy_file_range(os.open('data.bin', 0), os.open('b.txt', 1), 500)"),
    _sh("mkfifo", "mkfifo -m 622 p2; rm pipe; mkfifo pipe; (cat < p2 > out & echo through > p2; wait)"),
    _py("socket", "import socket\ns = socket.socket(socket.AF_UNIX)\ns.bind('sock')"),
    # --- databases and histories
    _py(
        "sqlite",
        "import sqlite3\nc = sqlite3.connect('t.db')\nc.execute('create table t(a)')\nfor i in range(300):"
        "\n    c.execute('insert into t values(?)', (i,))\nc.commit()\nc.execute('delete from t where a % 3 = 0')"
        "\nc.commit()\nc.execute('vacuum')\nc.close()",
    ),
    _py(
        "sqlite-wal",
        "import sqlite3\nc = sqlite3.connect('t.db')\nc.execute('pragma journal_mode=wal')"
        "\nc.execute('create table t(a)')\nc.execute('insert into t values(1)')\nc.commit()\nc.close()",
    ),
    _sh("git-commit", _GIT, "git"),
    _sh("git-history", _GIT + "echo x >> a.txt; g add a.txt; g commit -qm 2; g branch old HEAD~; rm .git/index", "git"),
    _sh("git-gc", _GIT + "g gc -q --prune=now; g pack-refs --all", "git"),
    _sh("git-clone", _GIT + "g clone -q --bare .git clone.git", "git"),
    # --- names and depths
    _sh("odd-names", "for f in *name not*; do echo x >> \"$f\"; mv \"$f\" \"$f \"; done; : > '-rf'; : > '\\'; : > ' '"),
    _py(
        "deep",
        "import os\nfor i in range(220):\n    os.mkdir('d' * 20)\n    os.chdir('d' * 20)\nopen('end', 'w')",
    ),
    _py("longest-name", "import os\nopen('n' * 255, 'w').write('x')\nos.rename('a.txt', 'm' * 255)"),
    # --- processes
    _sh("late-child", "(sleep 0.3; echo late > late; rm c.txt) & echo early > early"),
    _sh("xargs", "find docs -type f -print0 | xargs -0 -n1 -P4 sh -c 'echo x >> \"$0\"'", linked=True),
    _py(
        "daemon",
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(0.3)"
        "\n        open('late', 'w')",
    ),
    _sh("kill-self", "echo before > before; kill -9 $$; echo after > after", code=-9),
    _sh("fails", "echo x > x; rm -r docs/deep; false; echo y > y", code=1),
)
