# SPDX-License-Identifier: Apache-2.0
"""The format of scenario files: text to cases, or an error that names file and line."""

import pathlib
import re
from dataclasses import dataclass, field

from harness import requirements
from harness.expectations import CHECKS, Expectation

DIRECTIVES = ["NAME", "REQUIRES", "NETNS", "SETUP", "RUN", "TIMEOUT", *CHECKS]
ONCE = {"RUN", "EXIT", "TIMEOUT", "NETNS"}


class ScenarioError(Exception):
    """A scenario file that cannot be understood: the fault of its author, never of the program under test."""


@dataclass
class Case:
    file: pathlib.Path
    line: int
    name: str
    requires: list = field(default_factory=list)
    setup: list = field(default_factory=list)
    run: str = ""
    netns: bool = False
    timeout_s: float = 10.0
    expectations: list = field(default_factory=list)
    directives: set = field(default_factory=set)


def parse(path):
    """The cases of one file."""
    cases = []
    for line, word, text in read_directives(path):
        try:
            if word == "NAME":
                if not text or any(text == case.name for case in cases):
                    raise ValueError("wants words that no other case of the file has")
                cases.append(Case(path, line, text))
            elif not cases:
                raise ValueError("comes before the first NAME")
            else:
                add(cases[-1], line, word, text)
        except (ValueError, re.error) as error:
            raise ScenarioError(f"{path}:{line}: {word}: {error}") from error
    for case in cases:
        if not case.run:
            raise ScenarioError(f"{path}:{case.line}: '{case.name}' has no RUN")
        if not case.expectations:
            raise ScenarioError(f"{path}:{case.line}: '{case.name}' expects nothing; add EXIT, STDOUT, JSON, …")
    if not cases:
        raise ScenarioError(f"{path}: no case; a case starts with NAME")
    return cases


def read_directives(path):
    """(line, word, text) of each directive; lines that start with | continue the text of the one above."""
    found = []
    for line, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not raw.strip() or raw.startswith("#"):
            continue
        if raw.startswith("|"):
            if not found:
                raise ScenarioError(f"{path}:{line}: a continuation before the first directive")
            found[-1][2].append(raw[2:] if raw.startswith("| ") else raw[1:])
        else:
            word, _, text = raw.rstrip().partition(" ")
            found.append((line, word, [text.strip()] if text.strip() else []))
    return [(line, word, "\n".join(text)) for line, word, text in found]


def add(case, line, word, text):
    if word not in DIRECTIVES:
        raise ValueError(f"unknown directive; the directives are {' '.join(DIRECTIVES)}")
    if word in ONCE & case.directives:
        raise ValueError("only once in a case; start another case with NAME")
    case.directives.add(word)
    if word in CHECKS:
        expectation = Expectation(word, text, line)
        expectation.validate()
        case.expectations.append(expectation)
    elif not text:
        raise ValueError("wants a text")
    elif word == "REQUIRES":
        for need in text.split():
            if requirements.probe(need) is None:
                raise ValueError(f"knows no '{need}', only: {requirements.KNOWN}")
            case.requires.append(need)
    elif word == "NETNS":
        if text not in ("yes", "no"):
            raise ValueError("wants yes or no")
        case.netns = text == "yes"
    elif word == "SETUP":
        case.setup.append(text)
    elif word == "RUN":
        case.run = text
    elif word == "TIMEOUT":
        case.timeout_s = duration(text)


def duration(text):
    match = re.fullmatch(r"(\d+)(ms|s|m)", text)
    if not match:
        raise ValueError("wants a duration such as 500ms, 10s or 2m")
    return int(match[1]) * {"ms": 0.001, "s": 1, "m": 60}[match[2]]
