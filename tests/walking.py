"""How long hypothesis walks a machine of states: once, or for as long as ``--longo`` says."""

from __future__ import annotations

from time import monotonic

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

EXAMPLES = 100  # in a turn


def walk(machine: type[RuleBasedStateMachine], lasts_s: float) -> None:
    """Walk a machine for so many seconds, at least one turn; each is another walk."""
    end, walks = monotonic() + lasts_s, 0
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=80,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    while not walks or monotonic() < end:
        run_state_machine_as_test(machine, settings=chosen)
        walks += EXAMPLES
    print(f"{walks} walks")  # noqa: T201 - shown by -rP
