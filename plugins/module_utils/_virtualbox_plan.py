# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done to a machine of VirtualBox. Pure: found and wanted in, steps out.

Check mode shows the plan, a real run carries it out: they cannot tell different stories.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ._vboxmanage_errors import (
    AmbiguousName,
    Busy,
    Duplicate,
    Inaccessible,
    InvalidArgument,
    InvalidState,
    NotFound,
    NotRunning,
    SnapshotNotFound,
)
from ._vboxmanage_model import ONLINE, NatForward, Snapshot, Vm
from ._virtualbox_settings import Change, Wanted, changed, changes

STATES = ("present", "absent", "started", "stopped", "paused", "saved", "reset")
# A machine rests in these; in all others VirtualBox is about to bring it into one of them.
RESTING = frozenset(
    ["running", "paused", "gurumeditation", "poweroff", "saved", "aborted", "aborted-saved"]
)
SAVED = ("saved", "aborted-saved")
_NEEDS_MACHINE = ("paused", "saved", "reset")
_ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound


@dataclass(frozen=True)
class Original:
    """What a new machine is cloned from; ``snapshot`` is a UUID, or None for its present state."""

    vm: Vm
    snapshot: str | None
    linked: bool


@dataclass(frozen=True)
class Request:
    """A machine as it is to be.

    Args:
        force: powers a machine off at once, and gives up a saved state that is in the way.
        restart: powers a machine off and starts it again where a setting needs that.
    """

    state: str
    wanted: Wanted
    original: Original | None = None
    force: bool = False
    restart: bool = False


@dataclass(frozen=True)
class Step:
    """One thing to do: create, clone, modify, control, start, resume, pause, shutdown, poweroff,
    save, discard, reset, remove or unregister."""

    action: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Steps from ``before`` to ``after``; None is a machine that does not exist."""

    steps: tuple[Step, ...]
    before: Vm | None
    after: Vm | None

    @property
    def added_forwards(self) -> tuple[NatForward, ...]:
        """Forwards that a machine has after this, and did not have before."""
        known = self.before.forwards if self.before else ()
        return tuple(f for f in (self.after.forwards if self.after else ()) if f not in known)

    @property
    def starts(self) -> bool:
        return any(step.action == "start" for step in self.steps)


def plan(request: Request, found: Vm | None) -> Plan:
    """The steps that a request needs.

    Raises:
        VBoxManageError: it cannot be fulfilled; nothing has been done then.
    """
    if request.state not in STATES:
        raise InvalidArgument(f"{request.state!r} is not a state", f"It is {', '.join(STATES)}.")
    wanted = request.wanted.check()
    if found is None:
        return _creation(request, wanted)
    if request.state == "absent":
        return _removal(request, found)
    if not found.accessible:
        raise Inaccessible(f"The settings of the machine {found.uuid} cannot be read")
    if found.state not in RESTING:
        raise Busy(f"The machine {found.name!r} is {found.state}")
    return _adjustment(request, found, changes(wanted, found))


def check_forwards(forwards: Iterable[NatForward], others: Iterable[Vm]) -> None:
    """Refuse host ports that another machine's forward has: VirtualBox takes them silently.

    Raises:
        Duplicate: with the machine and forward that have the port.
    """
    taken = [(vm, forward) for vm in others for forward in vm.forwards]
    for mine in forwards:
        for vm, theirs in taken:
            if overlap(mine, theirs):
                raise Duplicate(
                    f"The host port {mine.host_port} ({mine.protocol}) of the NAT forward "
                    f"{mine.name!r} belongs to the forward {theirs.name!r} of the machine "
                    f"{vm.name!r}"
                )


def pick_snapshot(snapshots: Iterable[Snapshot], name_or_uuid: str) -> Snapshot:
    """The snapshot with this UUID, else the only one of this name.

    Raises:
        SnapshotNotFound: there is none.
        AmbiguousName: several have this name.
    """
    known = tuple(snapshots)
    bare = name_or_uuid.strip("{}").lower()
    found = [one for one in known if one.uuid == bare] or [
        one for one in known if one.name == name_or_uuid
    ]
    if not found:
        raise SnapshotNotFound(f"There is no snapshot {name_or_uuid!r}")
    if len(found) > 1:
        listed = ", ".join(one.uuid for one in found)
        raise AmbiguousName(f"{len(found)} snapshots are called {name_or_uuid!r}: {listed}")
    return found[0]


def overlap(one: NatForward, other: NatForward) -> bool:
    """Whether two forwards cannot both listen on this host."""
    same = one.protocol == other.protocol and one.host_port == other.host_port
    addresses = (one.host_ip, other.host_ip)
    return same and (addresses[0] == addresses[1] or any(a in _ANYWHERE for a in addresses))


def _creation(request: Request, wanted: Wanted) -> Plan:
    if request.state == "absent":
        return Plan((), None, None)
    if not wanted.name:
        raise NotFound("There is no machine with this UUID")
    if request.state in _NEEDS_MACHINE:
        raise NotFound(
            f"There is no machine {wanted.name!r} that could be {request.state}",
            "Create and start it first, with the state 'started'.",
        )
    steps = [Step("clone" if request.original else "create")]
    if request.original:
        wanted = wanted.for_clone()
        base = replace(request.original.vm, snapshots=(), state_since="")
    else:
        base = Vm(uuid="", name=wanted.name, state="poweroff", groups=("/",))
    base = replace(base, uuid="", name=wanted.name, state="poweroff", config_file="")
    after = changed(base, changes(wanted, base))
    if request.state == "started":
        steps.append(Step("start"))
        after = replace(after, state="running")
    return Plan(tuple(steps), None, after)


def _removal(request: Request, found: Vm) -> Plan:
    if not found.accessible:
        # Its disks are unknown; only the entry can go.
        return Plan((Step("unregister"),), found, None)
    steps = []
    if found.online:
        if not request.force:
            raise InvalidState(
                f"The machine {found.name!r} is {found.state}",
                "Stop it first, or set 'force: true' to power it off and remove it.",
            )
        steps.append(Step("poweroff"))
    return Plan((*steps, Step("remove")), found, None)


def _adjustment(request: Request, found: Vm, differences: tuple[Change, ...]) -> Plan:
    steps: list[Step] = []
    state = found.state

    def go(action: str, new_state: str, *what: Change) -> None:
        nonlocal state
        steps.append(Step(action, what))
        state = new_state

    def shut_down() -> None:
        hard = request.force or state == "gurumeditation"
        go("poweroff" if hard else "shutdown", "poweroff")

    if request.state == "stopped" and state in ONLINE:
        shut_down()
    if differences and state in ONLINE:
        if any(change.live is None for change in differences):
            _refuse_unless(
                request.restart, found, "restart", [c for c in differences if not c.live]
            )
            before = state
            shut_down()
            go("modify", "poweroff", *differences)
            go("start", "running")
            if before == "paused" and request.state == "present":
                go("pause", "paused")
        else:
            go("control", state, *differences)
    elif differences:
        stuck = [change for change in differences if not change.saved]
        if state in SAVED and stuck:
            _refuse_unless(request.force, found, "force", stuck)
            go("discard", "poweroff")
        go("modify", state, *differences)

    wanted_state = request.state
    if wanted_state == "started":
        if state == "gurumeditation":
            go("poweroff", "poweroff")
        if state == "paused":
            go("resume", "running")
        elif state != "running":
            go("start", "running")
    elif wanted_state in _NEEDS_MACHINE and state != wanted_state:
        if state not in ("running", "paused"):
            raise NotRunning(
                f"The machine {found.name!r} is {state}, so it cannot be {_DONE[wanted_state]}"
            )
        if wanted_state == "paused":
            go("pause", "paused")
        elif wanted_state == "saved":
            go("save", "saved")
        else:
            if state == "paused":
                go("resume", "running")
            go("reset", "running")
    return Plan(tuple(steps), found, replace(changed(found, differences), state=state))


_DONE = {"paused": "paused", "saved": "saved", "reset": "reset"}


def _refuse_unless(allowed: bool, found: Vm, option: str, stuck: list[Change]) -> None:
    if allowed:
        return
    names = ", ".join(change.what for change in stuck)
    consequence = {
        "restart": "stop it first, or set 'restart: true' to stop it, change it and start it again",
        "force": "start and stop it first, or set 'force: true' to give up its saved state",
    }[option]
    raise InvalidState(
        f"The machine {found.name!r} is {found.state}, and this can only be changed while it is "
        f"powered off: {names}",
        f"{consequence[0].upper()}{consequence[1:]}.",
    )
