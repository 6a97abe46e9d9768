# SPDX-License-Identifier: Apache-2.0
"""What a case may require of the machine; each is asked with a real probe."""

import os
import pathlib
import re
import shutil
import subprocess

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]

# Processes, networks and mounts of such a command end with it.
ISOLATED = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]


def search_path():
    return f"{REPOSITORY}/build/tools/bin:{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"


def why_not(*command):
    """None when the command succeeds, else the reason."""
    if shutil.which(command[0], path=search_path()) is None:
        return f"{command[0]} is not installed"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL,
                              env={**os.environ, "PATH": search_path()}, check=False)
    except subprocess.TimeoutExpired:
        return f"{command[0]} does not answer"
    said = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else f"{command[0]} fails: {said[-1] if said else done.returncode}"


def why_no_namespace():
    if os.geteuid() != 0:
        return "network namespaces need root"
    reason = why_not(*ISOLATED, "bash", "-c", "mount -t tmpfs tmpfs /run && ip link set lo up")
    return reason and f"no network namespaces here: {reason}"


def why_no_ipv6():
    addresses = pathlib.Path("/proc/net/if_inet6")
    return None if addresses.exists() and addresses.read_text() else "the machine has no IPv6"


PROBES = {
    "root": lambda: None if os.geteuid() == 0 else "needs root",
    "user": lambda: None if os.geteuid() != 0 else "needs a user that is not root",
    "netns": why_no_namespace,
    "ipv6": why_no_ipv6,
    "ip": lambda: why_not("ip", "link", "show"),
    "ss": lambda: why_not("ss", "-tHn"),
    "tmux": lambda: why_not("tmux", "-V"),
    "promtool": lambda: why_not("promtool", "--version"),
}
KNOWN = ", ".join(PROBES) + ", kernel>=X.Y"


def probe(need):
    """A function that gives None when the need is met, else the reason; None when nobody knows the need."""
    kernel = re.fullmatch(r"kernel>=(\d+)\.(\d+)", need)
    if not kernel:
        return PROBES.get(need)
    wanted = (int(kernel[1]), int(kernel[2]))
    running = tuple(int(part) for part in re.match(r"(\d+)\.(\d+)", os.uname().release).groups())
    return lambda: None if running >= wanted else f"needs Linux {kernel[1]}.{kernel[2]}, runs {os.uname().release}"


class Answers:
    """The answers of the probes that the cases need; each is asked once."""

    def __init__(self, cases):
        needs = {need for case in cases for need in self._needs(case)}
        self._reasons = {need: probe(need)() for need in sorted(needs)}

    @staticmethod
    def _needs(case):
        return case.requires + (["netns"] if case.netns else [])

    def reason_to_skip(self, case):
        return next((self._reasons[need] for need in self._needs(case) if self._reasons[need]), None)
