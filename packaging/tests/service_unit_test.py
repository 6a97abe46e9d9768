#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""service_unit_test.py UNIT PROGRAM: systemd understands the unit, and calls the service well protected.

The unit is checked as it is installed, but with the program where it was built. Exit codes: 0 fine, 1 not, 77 skipped
with the reason on the first line.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

MOST_EXPOSED = 2.5  # of 10, as `systemd-analyze security` counts; what it looks at for a living is most of it


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def main():
    unit, program = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    if shutil.which("systemd-analyze") is None:
        print("systemd-analyze is not installed")
        return 77
    text = unit.read_text()
    assert "@CMAKE" not in text, "a path was not filled in"
    text, replaced = re.subn(r"^ExecStart=\S+/tidewaiter run ", f"ExecStart={program} run ", text, flags=re.MULTILINE)
    assert replaced == 1, "ExecStart= does not run the program"
    with tempfile.TemporaryDirectory() as directory:
        copy = pathlib.Path(directory, "tidewaiter.service")
        copy.write_text(text)
        code, said = run("systemd-analyze", "verify", "--man=no", str(copy))
        wrong = [line for line in said.splitlines() if "tidewaiter.service" in line]
        if code != 0 and not wrong:
            print(f"systemd-analyze cannot verify units here: {said.splitlines()[-1] if said else code}")
            return 77
        if code != 0 or wrong:
            print(said)
            return 1
        code, said = run("systemd-analyze", "security", "--offline=yes", "--no-pager", str(copy))
        if "offline" in said and code != 0:
            print("systemd-analyze is too old to judge a unit by itself (systemd 250)")
            return 77
        exposure = re.search(r"Overall exposure level .*: ([\d.]+)", said)
        if exposure is None or float(exposure[1]) > MOST_EXPOSED:
            print(said)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
