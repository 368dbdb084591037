"""Reader of old-style (OpenStep) property lists: what an Xcode project file is written in."""

from __future__ import annotations

import re

Value = str | list["Value"] | dict[str, "Value"]

TOKEN = re.compile(r'\s+|/\*.*?\*/|//[^\n]*|(?P<mark>[{}()=;,])|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[\w./$+\-:]+)', re.DOTALL)


def loads(text: str) -> Value:
    """Raises ValueError with the line where it goes wrong; a key that stands twice is wrong too."""
    tokens: list[tuple[str, str, int]] = []
    at = 0
    while at < len(text):
        if not (match := TOKEN.match(text, at)):
            raise ValueError(f"line {text.count(chr(10), 0, at) + 1}: '{text[at : at + 20]}' is no word of a property list")
        if match.lastgroup:
            tokens.append((match.lastgroup, match[match.lastgroup], text.count("\n", 0, at) + 1))
        at = match.end()
    tokens.append(("end", "", text.count("\n") + 1))
    reader = _Reader(tokens)
    value = reader.value()
    reader.take("end", "")
    return value


class _Reader:
    def __init__(self, tokens: list[tuple[str, str, int]]) -> None:
        self._tokens, self._at = tokens, 0

    def _is(self, mark: str) -> bool:
        return self._tokens[self._at][:2] == ("mark", mark)

    def take(self, kind: str, text: str) -> None:
        found, said, line = self._tokens[self._at]
        if (found, said) != (kind, text):
            raise ValueError(f"line {line}: got '{said}', expected '{text or 'the end'}'")
        self._at += 1

    def _word(self) -> str:
        kind, said, line = self._tokens[self._at]
        if kind not in ("plain", "quoted"):
            raise ValueError(f"line {line}: got '{said}', expected a word")
        self._at += 1
        return re.sub(r"\\(.)", r"\1", said) if kind == "quoted" else said

    def value(self) -> Value:
        if self._is("{"):
            return self._dictionary()
        if self._is("("):
            return self._list()
        return self._word()

    def _dictionary(self) -> Value:
        self.take("mark", "{")
        found: dict[str, Value] = {}
        while not self._is("}"):
            line = self._tokens[self._at][2]
            key = self._word()
            if key in found:
                raise ValueError(f"line {line}: '{key}' stands twice; expected it once")
            self.take("mark", "=")
            found[key] = self.value()
            self.take("mark", ";")
        self.take("mark", "}")
        return found

    def _list(self) -> Value:
        self.take("mark", "(")
        found: list[Value] = []
        while not self._is(")"):
            found.append(self.value())
            if not self._is(")"):
                self.take("mark", ",")
        self.take("mark", ")")
        return found
