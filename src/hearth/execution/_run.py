"""One run: every step in order, once, each with its intent recorded before it acts."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hearth.errors import (
    ArtemisEscalationError,
    HearthError,
    RecorderError,
    RecorderUnfitError,
    RunInterruptedError,
    StepFailedError,
)
from hearth.execution._results import StepOutcome
from hearth.record import SealCause

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.execution._listener import SafeListener
    from hearth.execution._results import ObservedEffect
    from hearth.execution._steps import StepRunner
    from hearth.execution._watch import RunWatch
    from hearth.record import ExecutionRecord
    from hearth.recorder import ExecutionObserver

    Ending = Callable[[ExecutionRecord], BaseException]

__all__ = ["Run"]

_CUT_SHORT = "the step was cut short; what it did before is not known"


class Run:
    """The steps of one execution, from the first check to the last mark.

    States: before a step → its start recorded → under way, each effect that it reports recorded → done → its other
    effects and its end recorded → before the next one.
    Forbidden: acting before the start is recorded; a second start of a step; going on after a step that failed, an
    escalation, an interruption, a check that refused, or any error of the recorder. Of several reasons to stop, an
    escalation counts before an interruption, and that before a failure; each counts until the seal, so that a run
    whose last step was told to stop is not called completed.

    `check(step)` raises a RefusedError when the step, the plan's inputs or the gate are not what they were, a
    RecorderUnfitError when the record should be sealed while it can be.
    """

    def __init__(
        self,
        steps: tuple[Any, ...],
        runner: StepRunner,
        *,
        observer: ExecutionObserver,
        watch: RunWatch,
        check: Callable[[Any], None],
        listener: SafeListener,
        completion_reason: str = "",
    ) -> None:
        self.completed = 0
        self._steps = steps
        self._runner = runner
        self._observer = observer
        self._watch = watch
        self._check = check
        self._listener = listener
        self._completion_reason = completion_reason
        self._unseen: dict[int, str] = {}

    def go(self) -> Ending | None:
        """Run to the last mark; return None at the plan's end, else what makes the error to raise from the record.

        An error of the recorder is raised at once: what was done since the last entry is unknown then.
        """
        for step in self._steps:
            ending = self._stopped() or self._refused(step) or self._step(step)
            if ending is not None:
                return ending
        ending = self._stopped()
        if ending is None:
            self._observer.mark_completed(self._completion_reason)
        return ending

    def _step(self, step: Any) -> Ending | None:  # noqa: ANN401 - any object with index and name
        index, name = step.index, _name(step)
        # Durable before it returns, or it raises: no evidence, no action.
        self._observer.record_step_started(index, name, self._runner.describe(step))
        self._listener.tell("step_started", step)
        began = time.monotonic()
        reported = _Reported(self._observer, index)
        outcome, error = self._perform(step, reported)
        seconds = time.monotonic() - began
        if reported.broken is not None:
            raise reported.broken
        outcome = self._record(index, name, outcome)
        outcome = replace(outcome, side_effects=(*reported.effects, *outcome.side_effects))
        self._say_what_is_unknown(step, outcome)
        self._listener.tell("step_finished", step, outcome, seconds)
        if isinstance(error, ArtemisEscalationError):
            # Others are told what is recorded: what a step says may hold one of the plan's secrets.
            self._watch.report(error, self._observer.redactor.text(str(error.reason)))
            return self._escalated(error)
        if outcome.failed:
            return self._stopped() or self._failed(step, outcome, error)
        self.completed += 1
        return None

    def _failed(self, step: Any, outcome: StepOutcome, error: BaseException | None) -> Ending:  # noqa: ANN401 - as above
        if error is not None:
            self._observer.mark_incomplete(SealCause.INTERRUPTED, f"{_which(step)} raised {type(error).__name__}")
            return lambda _: error
        self._observer.mark_failed(f"{_which(step)} failed: {outcome.error}")
        # The recorded text: no secret is in it.
        return lambda record: StepFailedError(
            record.step_events[-1].error_message or outcome.error, record, step_index=step.index, step_name=_name(step)
        )

    def _perform(self, step: Any, report: _Reported) -> tuple[StepOutcome, BaseException | None]:  # noqa: ANN401 - as above
        """Do the step; return also what it raised, where that ends more than the step."""
        signals = self._watch.signals
        why = self._why_to_stop()
        if why:  # since the checks: nothing was done yet, and nothing will be
            return StepOutcome.failure("not begun"), None
        try:
            return self._runner.perform(step, report), None
        except ArtemisEscalationError as error:
            return StepOutcome.failure(str(error), error.details), error
        except KeyboardInterrupt:
            signals.raising = False
            if signals.signum is None:
                signals.signum = signal.SIGINT
            self._unseen[step.index] = _CUT_SHORT
            return StepOutcome.failure("its outcome is unknown"), None
        except BaseException as error:  # noqa: BLE001 - GeneratorExit, CancelledError …: raised again after the seal
            self._unseen[step.index] = _CUT_SHORT
            said = f"{type(error).__name__}: {error}".removesuffix(": ")
            return StepOutcome.failure(f"{said}; its outcome is unknown"), error

    def _record(self, index: int, name: str, outcome: StepOutcome) -> StepOutcome:
        for effect in outcome.side_effects:
            _record_effect(self._observer, index, effect)
        if not outcome.failed:
            self._observer.record_step_completed(index, name, outcome.details)
            return outcome
        why = self._why_to_stop()
        error = outcome.error or "the step failed without saying why"
        if why and why not in error:
            error = f"{error} ({why})"
        self._observer.record_step_failed(index, name, error, outcome.details)
        return replace(outcome, error=error)

    def _say_what_is_unknown(self, step: Any, outcome: StepOutcome) -> None:  # noqa: ANN401 - as above
        why = self._runner.unseen(step)
        if why is None:
            return  # the observer says so itself, of all steps
        reasons = [self._unseen.get(step.index) or why, outcome.unseen]
        if any(reasons):
            self._unseen[step.index] = "; ".join(filter(None, reasons))
        self._observer.set_unknown_effects(self._unseen.items())

    # --- reasons to stop

    def _why_to_stop(self) -> str:
        return str(self._watch.escalation or self._watch.interruption)

    def _stopped(self) -> Ending | None:
        escalation = self._watch.look()
        if escalation is not None:
            return self._escalated(ArtemisEscalationError(escalation.new_state, escalation.reason))
        why = self._watch.interruption
        if not why:
            return None
        self._observer.mark_incomplete(SealCause.INTERRUPTED, why)
        number = self._watch.signals.signum or signal.SIGINT
        return lambda record: RunInterruptedError(
            f"{why}; {_counted(self.completed)} completed before", record, signum=number
        )

    def _escalated(self, error: ArtemisEscalationError) -> Ending:
        self._observer.mark_incomplete_security_escalation(str(error))

        def ending(record: ExecutionRecord) -> BaseException:
            error.execution_record = record
            return error

        return ending

    def _refused(self, step: Any) -> Ending | None:  # noqa: ANN401 - as above
        try:
            self._check(step)
        except RecorderUnfitError as unfit:
            return self._unfit(step, unfit)
        except RecorderError:
            raise  # nothing can be recorded any more, so nothing is sealed
        except Exception as refusal:  # noqa: BLE001 - what cannot be checked is refused, and the record kept
            stopped = (
                self._stopped()
            )  # the posture may have worsened since it was looked at, and the check have seen it
            if stopped is not None:
                return stopped
            said = str(refusal) if isinstance(refusal, HearthError) else f"{type(refusal).__name__}: {refusal}"
            text = f"{_which(step)} was not begun: {said}"
            failure = StepFailedError(text, step_index=step.index, step_name=_name(step))
            failure.__cause__ = refusal
            self._observer.mark_failed(text)

            def ending(record: ExecutionRecord) -> BaseException:
                failure.execution_record = record
                return failure

            return ending
        return None

    def _unfit(self, step: Any, unfit: RecorderUnfitError) -> Ending:  # noqa: ANN401 - as above
        text = f"{_which(step)} was not begun: {unfit}"
        error = RecorderUnfitError(text)
        error.__cause__ = unfit
        self._observer.mark_incomplete(SealCause.RECORDER_FAILURE, text)

        def ending(record: ExecutionRecord) -> BaseException:
            error.execution_record = record
            return error

        return ending


class _Reported:
    """The effects that a step reports while it is under way: each is recorded when it comes.

    What the recorder raises reaches the task, which stops, and is kept: it ends the run, whatever the task makes of it.
    """

    def __init__(self, observer: ExecutionObserver, index: int) -> None:
        self.effects: list[ObservedEffect] = []
        self.broken: BaseException | None = None
        self._observer = observer
        self._index = index

    def __call__(self, effect: ObservedEffect) -> None:
        try:
            _record_effect(self._observer, self._index, effect)
        except BaseException as error:
            self.broken = self.broken or error
            raise
        self.effects.append(effect)


def _record_effect(observer: ExecutionObserver, index: int, effect: ObservedEffect) -> None:
    observer.record_side_effect(
        effect.category, effect.description, effect.reversible, index, effect.details, origin=effect.origin
    )


def _name(step: Any) -> str:  # noqa: ANN401 - as above
    return str(getattr(step, "name", None) or f"step {step.index}")


def _which(step: Any) -> str:  # noqa: ANN401 - as above
    return f"step {step.index} ({_name(step)})"


def _counted(steps: int) -> str:
    return "one step" if steps == 1 else f"{steps or 'no'} steps"
