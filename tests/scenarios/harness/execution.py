# SPDX-License-Identifier: Apache-2.0
"""Runs cases, each in a directory, a session and (NETNS yes) a network of its own."""

import concurrent.futures
import os
import pathlib
import re
import shlex
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass

from harness import expectations, requirements

EXCERPT_CHARACTERS = 4000

# Runs in bash as the leader of the case's session. A namespace of its own hides /run, so that named network
# namespaces (/run/netns) die with the case as well.
DRIVER = r"""
set -e
if [[ $NETNS == yes ]]; then mount -t tmpfs tmpfs /run; ip link set lo up; fi
cd "$TMPDIR"
source "$CONTROL/setup.sh" </dev/null >"$CONTROL/setup.log" 2>&1
: >"$CONTROL/ready"
set +e
bash "$CONTROL/run.sh" </dev/null >"$CONTROL/stdout" 2>"$CONTROL/stderr"
echo $? >"$CONTROL/exit"
"""


@dataclass
class Result:
    file: str
    line: int
    name: str
    status: str  # passed, failed, skipped
    seconds: float = 0.0
    reason: str = ""  # of a skip
    output: str = ""  # of a failure


def run_all(cases, program, jobs, report):
    """Runs the cases side by side; report(result) is called as each ends. Results in the order of the files."""
    answers = requirements.Answers(cases)

    def one(case):
        reason = answers.reason_to_skip(case)
        return Result(case.file.name, case.line, case.name, "skipped", reason=reason) if reason else run(case, program)

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(one, case) for case in cases]
        for future in concurrent.futures.as_completed(futures):
            report(future.result())
        return [future.result() for future in futures]


def run(case, program):
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tidewaiter-scenario-", ignore_cleanup_errors=True) as scratch:
        tmp, control = pathlib.Path(scratch, "tmp"), pathlib.Path(scratch, "control")
        tmp.mkdir()
        control.mkdir()
        words = {"{tidewaiter}": str(program), "{tmp}": str(tmp), "{here}": str(case.file.parent)}
        failures = complaints(case, control, words)
        if failures:
            failures.append(f"  command: {substituted(case.run, words)}")
            failures += [excerpt(control, name) for name in ("setup.log", "stdout", "stderr") if (control / name).exists()]
    return Result(case.file.name, case.line, case.name, "failed" if failures else "passed",
                  round(time.monotonic() - started, 3), output="\n".join(failures))


def complaints(case, control, words):
    """Runs the case; what is wrong with it, nothing when all is well."""
    in_shell = {word: shlex.quote(value) for word, value in words.items()}
    in_pattern = {word: re.escape(value) for word, value in words.items()}
    (control / "setup.sh").write_text(substituted("\n".join(case.setup), in_shell) + "\n", encoding="utf-8")
    (control / "run.sh").write_text(substituted(case.run, in_shell) + "\n", encoding="utf-8")
    trouble = drive(case, control, words["{tmp}"])
    if trouble:
        return [f"{case.file.name}:{case.line}: {trouble}"]
    outcome = expectations.Outcome(int((control / "exit").read_text()), read(control / "stdout"), read(control / "stderr"))
    return expectations.complaints(case, outcome, lambda expectation: substituted(
        expectation.text, in_pattern if expectation.kind.endswith("_MATCHES") else words))


def drive(case, control, tmp):
    """Lets bash run the scripts; None, or why there is no outcome."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TIDEWAITER_")}
    environment.update(PATH=requirements.search_path(), LC_ALL="C.UTF-8", TZ="UTC", HOME=tmp, TMPDIR=tmp,
                       CONTROL=str(control), NETNS="yes" if case.netns else "no")
    command = (requirements.ISOLATED if case.netns else []) + ["bash", "-c", DRIVER]
    driver = subprocess.Popen(command, env=environment, start_new_session=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, said = driver.communicate(timeout=case.timeout_s)
    except subprocess.TimeoutExpired:
        end_session(driver)
        driver.communicate()
        return f"no end after {case.timeout_s:g} s"
    end_session(driver)
    if not (control / "ready").exists():
        return f"SETUP failed {said.strip()}".rstrip()
    if not (control / "exit").exists():
        return f"the shell of the case was killed {said.strip()}".rstrip()
    return None


def end_session(driver):
    try:
        os.killpg(driver.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def substituted(text, words):
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def read(path):
    return path.read_text(encoding="utf-8", errors="replace")


def excerpt(control, name):
    text = read(control / name).rstrip()
    if len(text) > EXCERPT_CHARACTERS:
        text = text[:EXCERPT_CHARACTERS] + " …"
    return f"  {name}:" + ("".join("\n    " + line for line in text.splitlines()) or " empty")
