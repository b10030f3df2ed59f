"""What runs in the child process of a python task. A program, not a module: it imports nothing of HEARTH.

Standard input holds one JSON object: `result` (a descriptor), `path` (folders to import from first), and `call` with
`args` (a mapping or a list), or `script` with `args` (a list). The descriptor gets one JSON object a line: `effect`
for each effect reported while it runs, and at the end `result` with `effects`, or `error`.
"""

from __future__ import annotations

# Each module imported here costs every step a millisecond or more.
import _thread
import importlib
import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LONGEST_REPR = 16 << 10
_lock = _thread.allocate_lock()
_result = -1


def report(effect: dict[str, Any]) -> None:
    """Send one effect at once, so that it is known even if the callable fails later."""
    _send({"effect": effect})


def _send(message: dict[str, Any]) -> None:
    try:
        line = json.dumps(message, default=_described)
    except (TypeError, ValueError, RecursionError):  # keys that are no strings, cycles, depth
        line = json.dumps({key: _described(value) for key, value in message.items()})
    view = memoryview(line.encode() + b"\n")
    with _lock:
        while view:
            view = view[os.write(_result, view) :]


def _described(value: object) -> dict[str, str]:
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - somebody else's repr; what was done must be told all the same
        text = f"(its repr raised {type(error).__name__})"
    if len(text) > _LONGEST_REPR:  # not cut: secrets are searched for by HEARTH, which would not find half of one
        text = f"(its repr has {len(text)} characters)"
    return {"type": f"{type(value).__module__}.{type(value).__qualname__}", "repr": text}


def _read_request() -> dict[str, Any]:
    pieces = []
    while piece := os.read(0, 1 << 16):
        pieces.append(piece)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    request: dict[str, Any] = json.loads(b"".join(pieces))
    return request


def _call(name: str, args: Any) -> Any:  # noqa: ANN401 - whatever the callable takes and gives
    module, _, path = name.partition(":")
    target: Any = importlib.import_module(module)
    for part in path.split("."):
        target = getattr(target, part)
    value = target(*args) if isinstance(args, list) else target(**args)
    if hasattr(value, "__await__"):
        import asyncio

        async def awaited() -> Any:  # noqa: ANN401 - as above
            return await value

        value = asyncio.run(awaited())
    return value


def _run_script(path: str, args: list[str]) -> None:
    import runpy

    sys.argv = [path, *args]
    sys.path.insert(0, os.path.dirname(path))  # noqa: PTH120 - pathlib would cost more than the rest
    runpy.run_path(path, run_name="__main__")


def _outcome(value: object) -> dict[str, Any]:
    if isinstance(value, dict) and "side_effects" in value and set(value) <= {"result", "side_effects"}:
        return {"result": value.get("result"), "effects": value["side_effects"]}
    return {"result": value, "effects": []}


def _failure(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, ModuleNotFoundError):
        text += "; modules beside the plan must be listed under its inputs"
    return text


def _print_traceback(error: BaseException) -> None:
    import traceback

    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename == __file__:
        frame = frame.tb_next
    traceback.print_exception(type(error), error, frame)


def main() -> int:
    """Do what the request says; return the exit code."""
    global _result  # noqa: PLW0603 - one child, one request
    request = _read_request()
    _result = request["result"]
    os.set_inheritable(_result, False)  # noqa: FBT003 - positional only
    sys.modules["_hearth_python_child"] = sys.modules["__main__"]
    sys.path[:0] = request["path"]
    try:
        if "script" in request:
            _run_script(request["script"], request["args"])
            value = None
        else:
            sys.argv = [request["call"]]
            value = _call(request["call"], request["args"])
    except SystemExit as error:
        if error.code is None or error.code == 0:
            _send(_outcome(None))
            return 0
        if not isinstance(error.code, int):
            sys.stderr.write(f"{error.code}\n")
        _send({"error": f"SystemExit: {error.code}"})
        return error.code & 0xFF if isinstance(error.code, int) else 1
    except BaseException as error:  # noqa: BLE001 - whatever it raises is the step's error
        _print_traceback(error)
        _send({"error": _failure(error)})
        return 1
    _send(_outcome(value))
    return 0


if __name__ == "__main__":
    sys.exit(main())
