# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes, changes, starts, stops and removes machines, so that a cut-off run can be repeated."""

from __future__ import annotations

import contextlib
import re
import time
import uuid as uuids
from collections.abc import Callable, Iterable
from dataclasses import replace

from ._vboxmanage import parse_created, parse_media, parse_os_types
from ._vboxmanage_client import VBoxManage
from ._vboxmanage_errors import (
    AmbiguousName,
    Duplicate,
    InUse,
    InvalidArgument,
    Locked,
    NotFound,
    NotRunning,
    TimedOut,
    VBoxManageError,
)
from ._vboxmanage_model import NatForward, Snapshot, Vm, checked_uuid, is_uuid
from ._virtualbox_host import creating, why_not_free
from ._virtualbox_plan import RESTING, SAVED, Plan, Request, Step, check_forwards, pick_snapshot
from ._virtualbox_settings import Change, Wanted, changes, checked_name

_POLL_S = 0.2
_OS_TYPE = "Other_64"
# What a clone is called until its settings are right.
_CLONING = r"\.cloning-[0-9a-f]{8}"


class Machines:
    """What can be done to the machines behind a client; methods raise VBoxManageErrors."""

    def __init__(
        self,
        client: VBoxManage,
        *,
        timeout_s: float = 300,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        why_not_free: Callable[[NatForward], str | None] = why_not_free,
    ) -> None:
        self.client = client
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._clock = clock
        self._why_not_free = why_not_free

    # Looking things up

    def find(self, name: str) -> Vm | None:
        """The machine of this name, in whichever group. Raises AmbiguousName."""
        if '" {' in name:
            # Such a name cannot be told from two entries of a list.
            found = [vm for vm in self.client.inventory() if vm.name == name and vm.accessible]
        else:
            found = []
            for ref in self.client.vms():
                if ref.name == name:
                    # Imitated by another machine's name, or removed meanwhile.
                    with contextlib.suppress(NotFound):
                        vm = self.client.details(ref.uuid)
                        found += [vm] if vm.name == name and vm.accessible else []
        if len(found) > 1:
            uuids_ = ", ".join(sorted(vm.uuid for vm in found))
            raise AmbiguousName(f"{len(found)} machines are called {name!r}: {uuids_}")
        return found[0] if found else None

    def get(self, uuid: str) -> Vm | None:
        """The machine with this UUID."""
        try:
            return self.client.details(uuid)
        except NotFound:
            return None

    def either(self, name_or_uuid: str) -> Vm:
        """The machine with this name or UUID. Raises NotFound or AmbiguousName."""
        if is_uuid(name_or_uuid.strip("{}")):
            found = self.get(checked_uuid(name_or_uuid))
        else:
            found = self.find(name_or_uuid)
        if found is None:
            raise NotFound(f"There is no machine {name_or_uuid!r}")
        return found

    def settled(self, vm: Vm) -> Vm:
        """The machine in a state in which it rests, after waiting for that. Raises TimedOut."""
        deadline = self._clock() + self._timeout_s
        while vm.accessible and vm.state not in RESTING:
            if self._clock() >= deadline:
                raise TimedOut(f"The machine {vm.name!r} remains {vm.state}")
            self._sleep(_POLL_S)
            vm = self.client.details(vm.uuid)
        return vm

    def os_type(self, text: str) -> tuple[str, str]:
        """Id and description of a guest type, from either. Raises InvalidArgument."""
        for identifier, description in parse_os_types(self.client.call("list", "ostypes")):
            if text in (identifier, description):
                return identifier, description
        raise InvalidArgument(
            f"There is no guest type {text!r}", "'VBoxManage list ostypes' shows all of them."
        )

    def linked_clones(self, uuid: str) -> tuple[str, ...]:
        """UUIDs of the machines whose disks build on this machine's."""
        media = parse_media(self.client.call("list", "--long", "hdds"))
        own = {medium.uuid for medium in media if uuid in medium.users}
        users = {
            user
            for medium in media
            if medium.parent in own or medium.uuid in own
            for user in medium.users
        }
        # Disks name the snapshots that use them in the same way.
        return tuple(sorted((users - {uuid}) & {ref.uuid for ref in self.client.vms()}))

    # Carrying plans out

    def check(self, plan: Plan) -> None:
        """What only the host and the other machines tell. Raises Duplicate or InUse."""
        if plan.after is None:
            if plan.before and any(step.action == "remove" for step in plan.steps):
                self._check_removal(plan.before)
            return
        added = plan.added_forwards
        if added:
            mine = plan.before.uuid if plan.before else ""
            others = [vm for vm in self.client.inventory() if vm.uuid != mine]
            check_forwards(added, others)
        was_online = plan.before is not None and plan.before.online
        self.check_ports(added if was_online else plan.after.forwards if plan.starts else ())

    def check_ports(self, forwards: Iterable[NatForward]) -> None:
        """VirtualBox starts a machine without those of its forwards whose port is busy.

        Raises:
            Duplicate: with the port that is.
        """
        for forward in forwards:
            if reason := self._why_not_free(forward):
                raise Duplicate(
                    f"The host port {forward.host_port} ({forward.protocol}) of the NAT forward "
                    f"{forward.name!r} cannot be used: {reason}"
                )

    def carry_out(self, plan: Plan, request: Request, grace_s: float) -> Vm | None:
        """Do what a plan says; the machine as it is then, or None when it is gone."""
        vm = plan.before
        for step in plan.steps:
            if step.action == "create":
                vm = self.create(request.wanted.check())
            elif step.action == "clone":
                vm = self._clone_for(request)
            elif vm is not None:
                vm = self._step(step, vm, request, grace_s)
        return vm

    def _step(self, step: Step, vm: Vm, request: Request, grace_s: float) -> Vm | None:
        uuid, action = vm.uuid, step.action
        if action in ("modify", "control"):
            return self._settle_changes(vm, request.wanted.check(), step.changes)
        if action == "shutdown":
            self.stop(uuid, grace_s)
        elif action == "poweroff":
            self.stop(uuid, 0)
        elif action == "start":
            self.start(uuid)
        elif action in ("pause", "resume", "reset"):
            self.client.on(uuid, "controlvm", action)
        elif action == "save":
            self.client.on(uuid, "controlvm", "savestate", timeout_s=self._timeout_s)
        elif action == "discard":
            self.client.on(uuid, "discardstate")
        elif action == "unregister":
            self.client.on(uuid, "unregistervm")
            return None
        elif action == "remove":
            # ``check`` has looked for linked clones.
            self._delete(uuid)
            return None
        return self.client.vm(uuid)

    # Making machines

    def create(self, wanted: Wanted) -> Vm:
        """A new machine without disks. Raises Duplicate if the name is taken.

        It has its name from the start: what an interrupted run leaves has VirtualBox's
        defaults, and a repeated run finds it and changes what differs.
        """
        name = checked_name(wanted.name)
        with creating(name, self._timeout_s):
            self._refuse_taken(name)
            uuid = str(uuids.uuid4())
            arguments = ["--uuid", uuid, "--name", name, "--register"]
            arguments += ["--groups", ",".join(wanted.groups or ("/",))]
            # Without a type it would have no network adapter.
            os_type = self.os_type(wanted.os_type)[0] if wanted.os_type else _OS_TYPE
            arguments += ["--ostype", os_type]
            self.client.call("createvm", *arguments, timeout_s=self._timeout_s)
            return self._configured(uuid, wanted)

    def clone(
        self, original: str, wanted: Wanted, *, snapshot: str | None = None, linked: bool = True
    ) -> Vm:
        """A new machine from another one, given by UUID. Raises Duplicate if the name is taken.

        It has another name until its settings are right, so that the copy that an interrupted
        run leaves, with its original's forwards and groups, is never taken for the machine.

        Args:
            snapshot: UUID of a snapshot of the original; a linked clone needs one.
        """
        wanted = wanted.for_clone()
        name = checked_name(wanted.name)
        with creating(name, self._timeout_s):
            self._refuse_taken(name)
            self._remove_leftovers(name)
            uuid = str(uuids.uuid4())
            arguments = ["--uuid", uuid, "--name", f"{name}.cloning-{uuid[:8]}", "--register"]
            # Its folder is moved with its name only from where its first group belongs.
            groups = ",".join(self.client.vm(original).groups)
            arguments += ["--mode", "machine", "--groups", groups]
            arguments += ["--options", "Link"] if linked else []
            arguments += ["--snapshot", snapshot] if snapshot else []
            self.client.on(original, "clonevm", *arguments, timeout_s=self._timeout_s)
            if self.client.vm(uuid).state in SAVED:
                # Of a snapshot of a running machine: two machines would go on as the same one.
                self.client.on(uuid, "discardstate")
            return self._configured(uuid, wanted)

    def snapshot(self, uuid: str, name_or_uuid: str) -> Snapshot:
        """A machine's snapshot. Raises SnapshotNotFound or AmbiguousName."""
        return pick_snapshot(self.client.snapshots(uuid), name_or_uuid)

    def _clone_for(self, request: Request) -> Vm:
        if request.original is None:
            raise InvalidArgument("There is nothing to clone from")
        return self.clone(
            request.original.vm.uuid,
            request.wanted.check(),
            snapshot=request.original.snapshot,
            linked=request.original.linked,
        )

    def _refuse_taken(self, name: str) -> None:
        # VirtualBox gives the same name twice when the groups differ.
        if found := self.find(name):
            raise Duplicate(f"The machine {name!r} exists: {found.uuid}")

    def _remove_leftovers(self, name: str) -> None:
        pattern = re.compile(re.escape(name) + _CLONING)
        for ref in self.client.vms():
            if pattern.fullmatch(ref.name) and self.client.vm(ref.uuid).name == ref.name:
                self.remove(ref.uuid)

    def _configured(self, uuid: str, wanted: Wanted) -> Vm:
        try:
            vm = self.client.vm(uuid)
            wanted = self.resolved(wanted, vm)
            return self._settle_changes(vm, wanted, changes(wanted, vm))
        except VBoxManageError:
            # Half a machine would be found by the next run, and be taken for the user's own.
            with contextlib.suppress(VBoxManageError):
                self.remove(uuid)
            raise

    # Changing machines

    def set_forwards(self, uuid: str, forwards: Iterable[NatForward]) -> Vm:
        """Make these a machine's only forwards, while it runs too."""
        vm = self.client.vm(uuid)
        wanted = Wanted(forwards=tuple(forwards)).check()
        return self._settle_changes(vm, wanted, changes(wanted, vm))

    def change(self, uuid: str, wanted: Wanted) -> Vm:
        """Change what differs, as far as the machine's state allows."""
        vm = self.client.vm(uuid)
        wanted = self.resolved(wanted.check(), vm)
        return self._settle_changes(vm, wanted, changes(wanted, vm))

    def resolved(self, wanted: Wanted, vm: Vm | None = None) -> Wanted:
        """With the guest's type in the words in which machines report it."""
        if wanted.os_type is None or (vm and vm.os_type == wanted.os_type):
            return wanted
        return replace(wanted, os_type=self.os_type(wanted.os_type)[1])

    def _settle_changes(self, vm: Vm, wanted: Wanted, differences: tuple[Change, ...]) -> Vm:
        """Change settings until VirtualBox reports what was wanted.

        Twice at most: an adapter that gets NAT again brings forwards back that were not shown.
        """
        for _dummy in range(2):
            if not differences:
                return vm
            self._apply(vm, differences)
            vm = self.client.vm(vm.uuid)
            differences = changes(wanted, vm)
        if differences:
            names = ", ".join(change.what for change in differences)
            raise VBoxManageError(
                f"VirtualBox took other values than it was given for the machine {vm.name!r}: "
                f"{names}"
            )
        return vm

    def _apply(self, vm: Vm, differences: tuple[Change, ...]) -> None:
        if not vm.online:
            # In one call: all of it is saved, or nothing.
            arguments = [word for change in differences for word in change.arguments]
            self.client.on(vm.uuid, "modifyvm", *arguments)
            return
        for change in differences:
            if change.live is None:
                raise Locked(f"The machine {vm.name!r} is {vm.state}, {change.what} cannot change")
            for call in change.live:
                self.client.on(vm.uuid, "controlvm", *call)

    # Snapshots

    def take(self, uuid: str, name: str, description: str = "", *, live: bool = False) -> str:
        """Take a snapshot; its UUID. ``live`` lets a running machine run meanwhile."""
        arguments = ["--description", description, *(["--live"] if live else [])]
        # What stands after "take" is a name, whatever it begins with.
        words = ("take", name, *arguments)
        return parse_created(self.client.on(uuid, "snapshot", *words, timeout_s=self._timeout_s))

    def describe(self, uuid: str, snapshot: str, description: str) -> None:
        """Change a snapshot's description; the snapshot is given by UUID."""
        words = ("edit", checked_uuid(snapshot), "--description", description)
        self.client.on(uuid, "snapshot", *words)

    def on_snapshot(self, uuid: str, what: str, snapshot: str) -> None:
        """Restore or delete a snapshot, given by UUID. Raises InUse, InvalidState."""
        words = (what, checked_uuid(snapshot))
        self.client.on(uuid, "snapshot", *words, timeout_s=self._timeout_s)

    # Starting, stopping, removing

    def start(self, uuid: str) -> Vm:
        """Start a machine whose forwards' ports are free. Raises StartFailed, DriverMissing..."""
        self.check_ports(self.client.vm(uuid).forwards)
        self.client.start(uuid, timeout_s=self._timeout_s)
        return self.settled(self.client.vm(uuid))

    def stop(self, uuid: str, grace_s: float) -> Vm:
        """Power a machine off: first by its power button, after ``grace_s`` seconds at once."""
        vm = self.settled(self.client.vm(uuid))
        deadline = self._clock() + grace_s
        if vm.online and grace_s > 0 and vm.state != "gurumeditation":
            with contextlib.suppress(NotRunning):
                if vm.state == "paused":
                    self.client.on(uuid, "controlvm", "resume")
                self.client.on(uuid, "controlvm", "acpipowerbutton")
            while vm.online and self._clock() < deadline:
                self._sleep(_POLL_S)
                vm = self.client.vm(uuid)
        if vm.online:
            # It may have ended meanwhile.
            with contextlib.suppress(NotRunning):
                self.client.on(uuid, "controlvm", "poweroff", timeout_s=self._timeout_s)
        return self.settled(self.client.vm(uuid))

    def remove(self, uuid: str) -> None:
        """Remove a machine that is powered off, with its disks. Raises InUse, nothing done."""
        self._check_removal(self.client.vm(uuid))
        self._delete(uuid)

    def _delete(self, uuid: str) -> None:
        self.client.on(uuid, "unregistervm", "--delete", timeout_s=self._timeout_s)

    def _check_removal(self, vm: Vm) -> None:
        # VirtualBox would forget the machine, and only then fail on its disks.
        clones = self.linked_clones(vm.uuid)
        if clones:
            raise InUse(
                f"The machine {vm.name!r} is the original of linked clones: {', '.join(clones)}"
            )
