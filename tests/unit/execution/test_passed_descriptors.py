from __future__ import annotations

import subprocess
import sys

import pytest

# Four pipes, whose ends come to lie where others of them are to be found by the command.
CODE = """
import os
from hearth.execution._supervisor import _spawn
from hearth.execution._wire import Request
numbers = {numbers}
ends = []
for place, number in enumerate(numbers):
    reading, writing = os.pipe()
    ends.append(os.dup2(reading, 60 + place, inheritable=False))
    os.dup2(writing, 40 + place, inheritable=False)
    os.close(reading)
    os.close(writing)
for place, number in enumerate(numbers):
    os.dup2(40 + place, number, inheritable=False)
    os.close(40 + place)
script = "; ".join(f"echo {{target}} >&{{target}}" for target in {targets})
words = [" ".join(map(str, {targets})).encode(), b"/", b"3", b"sh", b"-c", script.encode(), b"PATH=/usr/bin:/bin"]
request = Request(words, list(numbers))
pid = _spawn(request, frozenset())
for stream in request.streams:
    os.close(stream)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
print(*(os.read(end, 100).decode().strip() for end in ends))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="commands are started in this way on Linux")
@pytest.mark.parametrize(
    "numbers, targets",
    [((5, 6, 7, 8), (1, 2, 7, 6)), ((5, 6, 7, 8), (8, 7, 6, 5)), ((5, 6, 7, 8), (6, 7, 8, 9)), ((5, 6), (5, 6))],
)
def test_each_descriptor_is_found_at_its_number_whatever_lay_there(
    numbers: tuple[int, ...], targets: tuple[int, ...]
) -> None:
    code = CODE.format(numbers=numbers, targets=targets)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.stdout.split(), ended.stderr) == ([str(target) for target in targets], "")
