"""A patch applied without a program: each hunk must find the lines that it names."""

from __future__ import annotations


def apply_hunks(old: str, diff: str) -> str:
    """A text with the hunks of one file applied; each must find the lines that it names."""
    lines, out, at = old.split("\n"), [], 0
    body = diff.split("\n")
    for number, line in enumerate(body):
        if line.startswith("@@"):
            start, _, count = line.split()[1][1:].partition(",")
            first = int(start) - (count != "0")
            out += lines[at:first]
            at = first
        elif line.startswith((" ", "-")) and not line.startswith("--- "):
            assert lines[at] == line[1:], (lines[at], line)
            at += 1
            out += [line[1:]] * (line[0] == " ")
        elif line.startswith("+") and not line.startswith("+++ "):
            last = body[number + 1].startswith("\\ No newline")
            out += [line[1:]]
            if last and at >= len(lines):
                return "\n".join(out)
    return "\n".join([*out, *lines[at:]])
