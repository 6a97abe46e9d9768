# SPDX-License-Identifier: Apache-2.0
"""One JSON expectation: `$.path [length] OPERATOR VALUE` over one document."""

import json
import re

MISSING = object()
EXPECTATION = re.compile(r"(?P<path>\$(?:\.\w+|\[[^\]]*\])*)\s+(?P<length>length\s+)?"
                         r"(?P<operator>==|!=|>=|<=|>|<|matches)\s+(?P<value>.+)", re.DOTALL)
STEP = re.compile(r'\.(?P<name>\w+)|\[(?P<index>-?\d+)\]|\[(?P<quoted>"[^"]*")\]|\[(?P<key>\w+)=(?P<wanted>[^\]]+)\]')


def parse(text):
    """(path as text, its steps, whether the length is meant, operator, wanted value); ValueError when unreadable."""
    match = EXPECTATION.fullmatch(text)
    if not match:
        raise ValueError('wants $.path [length] ==|!=|>=|<=|>|<|matches VALUE, e.g. $.error.code == "usage"')
    steps, rest = [], match["path"][1:]
    while rest:
        step = STEP.match(rest)
        if not step:
            raise ValueError(f'cannot read \'{rest}\'; the steps are .name [0] ["name"] [key=value]')
        if step["key"]:
            json.loads(step["wanted"])
        steps.append(step)
        rest = rest[step.end():]
    wanted = json.loads(match["value"])
    if match["operator"] == "matches":
        re.compile(wanted)
    return match["path"], steps, bool(match["length"]), match["operator"], wanted


def complaint(text, document):
    """None when the expectation holds, else what is there instead."""
    path, steps, length, operator, wanted = parse(text)
    actual = walk(document, steps)
    if actual is MISSING:
        return f"nothing at {path}"
    if length:
        if not isinstance(actual, (list, dict, str)):
            return f"{path} is {json.dumps(actual)}, which has no length"
        actual = len(actual)
    return None if holds(actual, operator, wanted) else f"{path}{' length' if length else ''} is {json.dumps(actual)}"


def walk(value, steps):
    """The value at the path, or MISSING."""
    for step in steps:
        if value is MISSING:
            break
        if step["index"] is not None:
            index = int(step["index"])
            in_range = isinstance(value, list) and -len(value) <= index < len(value)
            value = value[index] if in_range else MISSING
        elif step["key"] is not None:
            wanted = json.loads(step["wanted"])
            rows = value if isinstance(value, list) else []
            value = next((row for row in rows if isinstance(row, dict) and equal(row.get(step["key"]), wanted)), MISSING)
        else:
            name = step["name"] or json.loads(step["quoted"])
            value = value.get(name, MISSING) if isinstance(value, dict) else MISSING
    return value


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def equal(left, right):
    """Equality of JSON: true is not 1, 1.0 is 1."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if is_number(left) and is_number(right):
        return left == right
    return type(left) is type(right) and left == right


def holds(actual, operator, wanted):
    if operator == "==":
        return equal(actual, wanted)
    if operator == "!=":
        return not equal(actual, wanted)
    if operator == "matches":
        return isinstance(actual, str) and re.search(wanted, actual) is not None
    if not (is_number(actual) and is_number(wanted)) and not (isinstance(actual, str) and isinstance(wanted, str)):
        return False
    return {">=": actual >= wanted, "<=": actual <= wanted, ">": actual > wanted, "<": actual < wanted}[operator]
