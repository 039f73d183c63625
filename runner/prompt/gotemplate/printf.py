"""``printf``: the verbs of Go's ``fmt`` that make sense for what templates have.

What cannot be printed so is told inside the text, as Go does: ``%!d(string=x)``.
"""

from __future__ import annotations

import re

from runner.prompt.gotemplate.scalars import MARKS, encoded, float_text, whole
from runner.prompt.gotemplate.values import Value, bare, print_text, type_name

#: Longest field that may be asked for; Go has the same limit.
_MAX_WIDTH = 1_000_000
_VERB = re.compile(
    r"%([-+# 0]*)(\*|\d+)?(?:\.(\*|\d*))?(.)?",
    re.DOTALL,
)
_BASES = {"d": "d", "x": "x", "X": "X", "o": "o", "b": "b"}


def sprintf(form: str, values: list[Value]) -> str:
    """Return ``form`` with its verbs filled in from ``values``."""
    rest = list(values)
    n_values = len(rest)

    def fill(match: re.Match[str]) -> str:
        flags, width_text, precision_text, verb = match.groups()
        if verb is None:
            return "%!(NOVERB)"
        width, bad = _measure(width_text, rest, "%!(BADWIDTH)")
        precision, bad_too = _measure(precision_text, rest, "%!(BADPREC)")
        if width is not None and width < 0:
            flags, width = flags + "-", -width
        if verb == "%":
            return bad + bad_too + "%"
        if not rest:
            return f"{bad}{bad_too}%!{verb}(MISSING)"
        text = _filled(verb, rest.pop(0), flags, precision)
        return bad + bad_too + _padded(text, flags, width, verb)

    text = _VERB.sub(fill, form)
    if rest and n_values:
        extra = ", ".join(f"{_type(value)}={print_text(value)}" for value in rest)
        text += f"%!(EXTRA {extra})"
    return text


def _type(value: Value) -> str:
    return "<nil>" if bare(value) is None else type_name(value)


def _measure(text: str | None, rest: list[Value], bad: str) -> tuple[int | None, str]:
    """A width or precision, from the form or from the next value."""
    if text is None:
        return None, ""
    if text == "*":
        value = rest.pop(0) if rest else None
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or abs(value) > _MAX_WIDTH
            or (value < 0 and "PREC" in bad)
        ):
            return None, bad
        return value, ""
    number = int(text[:8] or 0)
    return (number, "") if number <= _MAX_WIDTH else (None, bad)


def _filled(verb: str, value: Value, flags: str, precision: int | None) -> str:
    """One value by one verb, without padding."""
    wrong = f"%!{verb}({_type(value)}={print_text(value)})"
    if bare(value) is None:
        return "<nil>" if verb == "v" else f"%!{verb}(<nil>)"
    if verb == "T":
        return type_name(value)
    if verb == "v":
        return _signed(print_text(value), value, flags)
    match value:
        case bool():
            return print_text(value) if verb == "t" else wrong
        case int():
            return _integer(verb, value, flags, precision, wrong)
        case float():
            return _float(verb, value, flags, precision, wrong)
        case str():
            return _string(verb, value, flags, precision, wrong)
        case list() | dict():
            return _each(verb, value, flags, precision)
        case _:
            return print_text(value) if verb == "s" else wrong


def _each(verb: str, value: Value, flags: str, precision: int | None) -> str:
    """The elements of a list or map, each by the verb."""
    if print_text(value)[:1] not in "[m" or type(value) not in (list, dict):
        return _filled(verb, print_text(value), flags, precision)  # it prints itself
    if isinstance(value, list):
        return f"[{' '.join(_filled(verb, each, flags, precision) for each in value)}]"
    entries = (
        f"{_filled(verb, key, flags, precision)}:{_filled(verb, value[key], flags, precision)}"
        for key in sorted(value, key=encoded)
    )
    return f"map[{' '.join(entries)}]"


def _signed(text: str, value: Value, flags: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or text[0] in "+-":
        return text
    return "+" + text if "+" in flags else " " + text if " " in flags else text


def _integer(verb: str, value: int, flags: str, precision: int | None, wrong: str) -> str:
    if verb in _BASES:
        digits = format(abs(value), _BASES[verb])
        if precision is not None:
            digits = "" if precision == 0 and value == 0 else digits.rjust(precision, "0")
        prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") if "#" in flags else ""
        return _signed(("-" if value < 0 else "") + prefix + digits, value, flags)
    if verb in "cqU":
        sign = chr(value) if 0 <= value <= 0x10FFFF and not 0xD800 <= value < 0xE000 else "\ufffd"
        if verb == "U":
            return f"U+{value:04X}"
        return sign if verb == "c" else f"'{sign}'" if sign.isprintable() else wrong
    return wrong


def _float(verb: str, value: float, flags: str, precision: int | None, wrong: str) -> str:
    if verb in "eEfF":
        text = format(value, f".{6 if precision is None else precision}{verb}")
    elif verb in "gG":
        text = float_text(value) if precision is None else format(value, f".{precision or 1}g")
        text = text.upper() if verb == "G" else text
    else:
        return wrong
    return _signed(text, value, flags)


def _string(verb: str, value: str, flags: str, precision: int | None, wrong: str) -> str:
    if verb in "sq":
        text = value if precision is None else value[:precision]
        return text if verb == "s" else _quoted(text, flags)
    if verb in "xX":
        content = encoded(value) if precision is None else encoded(value)[:precision]
        text = content.hex(" ") if " " in flags else content.hex()
        return text.upper() if verb == "X" else text
    return wrong


_ESCAPES = {
    **{"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"},
    **{"\v": "\\v", "\\": "\\\\", '"': '\\"'},
}


def _quoted(text: str, flags: str) -> str:
    if "#" in flags and "`" not in text and whole(text) == text and text.isprintable():
        return f"`{text}`"
    return '"' + "".join(_escaped(sign, "+" in flags) for sign in text) + '"'


def _escaped(sign: str, to_ascii: bool) -> str:
    if sign in _ESCAPES:
        return _ESCAPES[sign]
    code = ord(sign)
    if 0xDC80 <= code < 0xDD00:  # a byte that is no character
        return f"\\x{code - 0xDC00:02x}"
    if (sign.isprintable() or sign in MARKS) and not (to_ascii and code > 126):
        return sign
    if code < 32 or code == 127:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _padded(text: str, flags: str, width: int | None, verb: str) -> str:
    if width is None or len(text) >= width:
        return text
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags and verb not in "vT":
        sign = text[:1] if text[:1] in "+-" and verb not in "sq" else ""
        return sign + text[len(sign) :].rjust(width - len(sign), "0")
    return text.rjust(width)
