"""A plan as text: everything that would run, untruncated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hearth.cli._screen import Part, Screen
    from hearth.operations import Preview, StepPreview

__all__ = ["print_preview"]


def print_preview(screen: Screen, preview: Preview, *, details: bool = True) -> None:
    """Print a plan: its head, then each step with its summary, parameters and declared effects.

    Nothing is cut. `details` adds how each step can be taken back.
    """
    head: list[tuple[str, Part | list[Part]]] = [("plan", (preview.plan_id, "bold"))]
    if preview.description:
        head.append(("for", preview.description))
    head += [("digest", preview.digest), ("folder", preview.folder)]
    if preview.cwd != preview.folder:
        head.append(("runs in", preview.cwd))
    head += [("variable", f"{name} = {value}") for name, value in preview.variables.items()]
    head += [("environment", f"{name}={_plain(value)}") for name, value in preview.env.items()]
    head += [("input", [f"{name}  ", (f"sha256 {digest}", "dim")]) for name, digest in preview.inputs.items()]
    head += [("secret", f"from {reference}") for reference in preview.secrets]
    screen.pairs(head, indent=0)
    for step in preview.steps:
        screen.blank()
        _print_step(screen, step, details=details)


def _print_step(screen: Screen, step: StepPreview, *, details: bool) -> None:
    screen.line((f"{step.index} ", "bold"), (step.name, "bold"), (f"  {step.task_type}", "dim"))
    # A command's summary is the command, every word of it, as a shell would take it; only a very long one is cut.
    whole = (
        not isinstance(step.params, str) and set(step.params) == {"argv"} and not step.summary.endswith(" characters)")
    )
    lines = [step.summary] if whole else _value_lines(step.params)
    if not isinstance(step.params, str) and not whole:
        screen.line(step.summary, indent=4)
    for line in lines:
        screen.line((f"{screen.symbols.bar} ", "dim"), line, indent=4)
    for effect in step.effects:
        screen.line(
            ("declares ", "dim"),
            f"{effect.category.value}: {effect.pattern}",
            (" (reversible)" if effect.reversible else "", "dim"),
            indent=4,
        )
    if not step.effects:
        says = "declares that it has no effects" if step.declares else "declares nothing about its effects"
        screen.line((says, "dim"), indent=4)
    targets = [target for target in step.targets if target != "host"]
    if targets:
        screen.line(("acts on ", "dim"), ", ".join(targets), indent=4)
    for name, value in step.env.items():
        screen.line(("environment ", "dim"), f"{name}={_plain(value)}", indent=4)
    if step.timeout is not None:
        screen.line(("timeout ", "dim"), f"{step.timeout:g} s", indent=4)
    if details:
        _print_undo(screen, step)


def _print_undo(screen: Screen, step: StepPreview) -> None:
    if step.undo is not None:
        screen.line(("undo ", "dim"), indent=4)
        for line in _value_lines(step.undo):
            screen.line((f"{screen.symbols.bar} ", "dim"), line, indent=4)
    if step.rollback is not None:
        screen.line(("rollback ", "dim"), step.rollback.description, indent=4)
        for action in step.rollback.actions:
            for line in action.split("\n"):
                screen.line((f"{screen.symbols.bar} ", "dim"), line, indent=4)
        for risk in step.rollback.risks:
            screen.line(("  risk ", "dim"), risk, indent=4)


def _value_lines(value: Any) -> list[str]:  # noqa: ANN401 - a JSON tree
    """Return parameters as YAML, a script as its own lines: what one reads is what runs."""
    if isinstance(value, str):
        return value.rstrip("\n").split("\n")
    from hearth.plan import yaml_text

    return yaml_text(value).removesuffix("\n").split("\n")


def _plain(value: Any) -> str:  # noqa: ANN401 - a text or a reference
    if isinstance(value, dict) and set(value) == {"secret"}:
        return f"{{secret: {value['secret']}}}"
    return str(value)
