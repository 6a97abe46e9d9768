# SPDX-License-Identifier: Apache-2.0
"""Proves the runner with a program of its own: what must fail fails, what must be refused is refused."""

import contextlib
import pathlib
import subprocess
import sys
import tempfile
import time

from harness.case_file import ScenarioError, parse
from harness.execution import run_all

FAKE_PROGRAM = r"""#!/bin/sh
case $1 in
  json) echo '{"n": 2, "f": 1.0, "none": null, "yes": true, "a": [{"id": 7, "v": "seven"}, {"id": 8}]}' ;;
  two) echo '{} {}' ;;
  echo) shift; printf '%s\n' "$*" ;;
  fail) echo 'no such thing' >&2; exit 3 ;;
  hang) sleep 60 ;;
esac
"""

# Each case is named after the status that the runner must give it.
CASES = r"""
NAME passed: exit code and both streams
RUN {tidewaiter} fail
EXIT 3
STDOUT_EMPTY
STDERR such
STDERR_MATCHES ^no .* thing$
STDERR_IS no such thing

NAME failed: a success that was not asked for
RUN {tidewaiter} echo x
EXIT 1

NAME failed: without EXIT a failure is a failure
RUN {tidewaiter} fail
STDERR such

NAME failed: a text that is not there
RUN {tidewaiter} echo one
STDOUT two

NAME failed: a pattern that does not match
RUN {tidewaiter} echo one
STDOUT_MATCHES ^ne$

NAME failed: more than the exact text
RUN {tidewaiter} echo one two
STDOUT_IS one

NAME failed: noise
RUN {tidewaiter} echo noise
STDOUT_EMPTY

NAME passed: a text of several lines
RUN
| {tidewaiter} echo one
| {tidewaiter} echo two
STDOUT_IS
| one
| two

NAME passed: a place of its own, and what SETUP left there
SETUP echo kept >kept
SETUP export GREETING=hello
RUN cat {tmp}/kept; echo $GREETING; pwd
STDOUT_MATCHES ^{tmp}$
STDOUT_IS
| kept
| hello
| {tmp}

NAME failed: a SETUP that fails
SETUP false
RUN true
EXIT 0

NAME passed: what SETUP started lives until the end, and is not waited for
SETUP sleep 60 & echo $! >pid
RUN kill -0 "$(cat pid)"
EXIT 0

NAME failed: never ends
TIMEOUT 300ms
RUN {tidewaiter} hang
EXIT 0

NAME passed: the paths of JSON
RUN {tidewaiter} json
JSON $.n == 2
JSON $.f == 1
JSON $.n >= 2
JSON $.n < 2.5
JSON $.none == null
JSON $.n != null
JSON $.a length == 2
JSON $.a[-1].id == 8
JSON $.a[id=7].v == "seven"
JSON $.a[0]["v"] matches "^sev"

NAME failed: true is not one
RUN {tidewaiter} json
JSON $.yes == 1

NAME failed: a missing member is not null
RUN {tidewaiter} json
JSON $.absent == null

NAME failed: a missing member is not unequal either
RUN {tidewaiter} json
JSON $.absent != null

NAME failed: null has no order
RUN {tidewaiter} json
JSON $.none >= 0

NAME failed: two documents are not one
RUN {tidewaiter} two
JSON $ != null

NAME skipped: a kernel of the future
REQUIRES kernel>=99.0
RUN false
EXIT 0

NAME passed: a network of its own
NETNS yes
RUN
| ls -A /run
| ip -o link show up | cut -d : -f 2
| ip netns add inside && ip netns list
STDOUT_IS
|  lo
| inside

NAME passed: what leaves its session
NETNS yes
RUN setsid sh -c 'sleep 60; : {here}' >{tmp}/log 2>&1 &
EXIT 0

NAME failed: what leaves its session and is waited for
NETNS yes
TIMEOUT 300ms
RUN setsid --wait sh -c 'sleep 60; : {here}'
EXIT 0
"""

# A file, and what the runner must say of it.
ERRORS = {
    "NAME a\nRUN true\nEXIT 0\nEXPECT x": ":4: EXPECT: unknown directive",
    "NAME a\nRUN true": ":1: 'a' expects nothing",
    "NAME a\nEXIT 0": ":1: 'a' has no RUN",
    "RUN true": ":1: RUN: comes before the first NAME",
    "NAME a\nREQUIRES luck\nRUN true\nEXIT 0": ":2: REQUIRES: knows no 'luck'",
    "NAME a\nRUN true\nEXIT zero": ":3: EXIT",
    "NAME a\nRUN true\nTIMEOUT 10": ":3: TIMEOUT: wants a duration",
    "NAME a\nRUN true\nSTDOUT": ":3: STDOUT: wants a text",
    "NAME a\nRUN true\nSTDOUT_EMPTY x": ":3: STDOUT_EMPTY: takes no text",
    "NAME a\nRUN true\nSTDOUT_MATCHES (": ":3: STDOUT_MATCHES",
    "NAME a\nRUN true\nJSON n == 2": ":3: JSON",
    "NAME a\nRUN true\nJSON $.n == two": ":3: JSON",
    "NAME a\nRUN true\nRUN true\nEXIT 0": ":3: RUN: only once",
    "NAME a\nRUN true\nEXIT 0\nNAME a\nRUN true\nEXIT 0": ":4: NAME: wants words",
    "": "no case",
}

EXIT_CODES = {
    "NAME a\nRUN true\nEXIT 0": 0,
    "NAME a\nREQUIRES kernel>=99.0\nRUN true\nEXIT 1": 0,
    "NAME a\nRUN true\nEXIT 1": 1,
    "NAME a\nBAD x": 2,
}


def self_test(runner):
    """Checks the harness, and the runner (its path) as a command; the exit code."""
    with tempfile.TemporaryDirectory() as directory:
        program, file = pathlib.Path(directory, "fake program"), pathlib.Path(directory, "self.scenario")
        program.write_text(FAKE_PROGRAM)
        program.chmod(0o755)
        wrong = [*wrong_results(file, program), *wrong_errors(file), *wrong_exit_codes(file, program, runner)]
    for complaint in wrong:
        print(f"self-test: {complaint}", file=sys.stderr)
    print(f"self-test: {len(wrong)} wrong")
    return 1 if wrong else 0


def wrong_results(file, program):
    file.write_text(CASES)
    for result in run_all(parse(file), program, 4, lambda result: None):
        if result.status == "skipped" and "network namespaces" in result.reason:
            print(f"self-test: not shown: {result.name}: {result.reason}")
        elif result.status != result.name.partition(":")[0]:
            yield f"'{result.name}' is {result.status}\n{result.output}"
    deadline = time.monotonic() + 10  # a process that was killed goes when the machine has time for it
    while (left := list(processes_that_name(file.parent))) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in left:
        yield f"process {process} outlived its case"


def processes_that_name(directory):
    for command in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f": {directory}" in command.read_text(errors="replace"):
                yield command.parent.name


def wrong_errors(file):
    for text, expected in ERRORS.items():
        file.write_text(text)
        try:
            parse(file)
            yield f"no error for {text!r}, expected {expected!r}"
        except ScenarioError as error:
            if expected not in str(error):
                yield f"{text!r} gives '{error}', expected {expected!r}"


def wrong_exit_codes(file, program, runner):
    for text, expected in EXIT_CODES.items():
        file.write_text(text)
        done = subprocess.run([sys.executable, runner, "--program", program, file], capture_output=True, check=False)
        if done.returncode != expected:
            yield f"{text!r} ends with {done.returncode}, expected {expected}"
