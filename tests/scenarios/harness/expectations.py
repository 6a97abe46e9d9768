# SPDX-License-Identifier: Apache-2.0
"""What a case may expect of the command it ran."""

import json
import re
from dataclasses import dataclass

from harness import json_path


@dataclass
class Outcome:
    exit_code: int
    stdout: str
    stderr: str


@dataclass
class Expectation:
    kind: str
    text: str
    line: int

    def validate(self):
        """Raises ValueError or re.error when the text makes no sense for the kind."""
        if self.kind == "EXIT":
            int(self.text)
        elif self.kind == "JSON":
            json_path.parse(self.text)
        elif self.kind.endswith("_MATCHES"):
            re.compile(self.text)
        elif self.kind.endswith("_EMPTY"):
            if self.text:
                raise ValueError("takes no text")
        elif not self.text:
            raise ValueError("wants a text")


def reject_constant(name):
    raise ValueError(f"{name} is not JSON")


def check_json(text, outcome):
    try:
        document = json.loads(outcome.stdout, parse_constant=reject_constant)
    except ValueError as error:
        return f"standard output is not one JSON document: {error}"
    return json_path.complaint(text, document)


def stream_checks(name, stream, label):
    kinds = {
        "": lambda text, out: None if text in out else f"{label} does not contain it",
        "_MATCHES": lambda text, out: None if re.search(text, out, re.MULTILINE) else f"{label} does not match",
        "_IS": lambda text, out: None if out.removesuffix("\n") == text else f"{label} differs",
        "_EMPTY": lambda text, out: None if not out else f"{label} is not empty",
    }
    return {name + suffix: (lambda text, outcome, check=check: check(text, getattr(outcome, stream)))
            for suffix, check in kinds.items()}


# Each takes the text of the directive and the outcome, and gives a complaint or None.
CHECKS = {
    "EXIT": lambda text, outcome: None if outcome.exit_code == int(text) else f"the exit code is {outcome.exit_code}",
    **stream_checks("STDOUT", "stdout", "standard output"),
    **stream_checks("STDERR", "stderr", "standard error"),
    "JSON": check_json,
}


def complaints(case, outcome, substitute):
    """What was expected and did not come; without EXIT, success is expected."""
    expected = list(case.expectations)
    if not any(expectation.kind == "EXIT" for expectation in expected):
        expected.insert(0, Expectation("EXIT", "0", case.line))
    found = []
    for expectation in expected:
        complaint = CHECKS[expectation.kind](substitute(expectation), outcome)
        if complaint:
            found.append(f"{case.file.name}:{expectation.line}: {expectation.kind} {expectation.text}: {complaint}")
    return found
