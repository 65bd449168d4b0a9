"""Checks the code of faxes (CCITT, ITU-T T.4 and T.6) for damage that libtiff passes over, with wrong pixels.

The code has no checksum. But nearly every flipped bit in Group 3, and most in Group 4, make bits that are no code, a
row that is longer or shorter than the picture, or rows too many or too few. No pixel is made here. The time grows in
step with the code's length, however hostile it is.
"""

import functools
import re

BYTE_ROWS, GROUP_3, GROUP_4, WORD_ROWS = KINDS = (2, 3, 4, 32771)
"""TIFF's numbers for these compressions; the first and the last are Group 3's without marks between the rows."""

_TWO_DIMENSIONAL = 1  # in the options of Group 3: rows may refer to the row above

# The codes of runs of 0 to 63 pixels, then of 64, 128 and so on to 1728, which another code follows.
_WHITE = """
    00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101 101010 101011
    0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 0011000 00000010 00000011 00011010
    00011011 00010010 00010011 00010100 00010101 00010110 00010111 00101000 00101001 00101010 00101011 00101100 00101101
    00000100 00000101 00001010 00001011 01010010 01010011 01010100 01010101 00100100 00100101 01011000 01011001 01011010
    01011011 01001010 01001011 00110010 00110011 00110100
    11011 10010 010111 0110111 00110110 00110111 01100100 01100101 01101000 01100111 011001100 011001101 011010010
    011010011 011010100 011010101 011010110 011010111 011011000 011011001 011011010 011011011 010011000 010011001
    010011010 011000 010011011
"""
_BLACK = """
    0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111 000011000
    0000010111 0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000 00000010111 00000011000
    000011001010 000011001011 000011001100 000011001101 000001101000 000001101001 000001101010 000001101011 000011010010
    000011010011 000011010100 000011010101 000011010110 000011010111 000001101100 000001101101 000011011010 000011011011
    000001010100 000001010101 000001010110 000001010111 000001100100 000001100101 000001010010 000001010011 000000100100
    000000110111 000000111000 000000100111 000000101000 000001011000 000001011001 000000101011 000000101100 000001011010
    000001100110 000001100111
    0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 0000001101100 0000001101101
    0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 0000001110011 0000001110100 0000001110101
    0000001110110 0000001110111 0000001010010 0000001010011 0000001010100 0000001010101 0000001011010 0000001011011
    0000001100100 0000001100101
"""
# And of 1792 to 2560, in both colours.
_LONG = """
    00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101 000000010110 000000010111
    000000011100 000000011101 000000011110 000000011111
"""
_PASS, _HORIZONTAL = 10, 11
_MODES = {"1": 0, "011": 1, "000011": 2, "0000011": 3, "010": -1, "000010": -2, "0000010": -3,
          "0001": _PASS, "001": _HORIZONTAL}  # fmt: skip
_LONGEST_RUN, _LONGEST_MODE = 13, 7  # bits of a code
_END = 0x001001  # of Group 4: two marks

_Table = list[tuple[int, int]]
"""Bits of the code and what it means, by the bits that come next; 0 bits where they are no code."""

_BIT: _Table = [(1, 0), (1, 1)]
_NOT_ZERO = re.compile(rb"[^\0]")


def check(data: bytes, width: int, rows: int, compression: int, options: int = 0) -> None:
    """Check that a strip or tile is the sound code of so many rows.

    Args:
        data: Its bytes, the first bit in a byte's highest.
        width: Pixels in a row.
        rows: Rows that it must hold.
        compression: One of `KINDS`.
        options: TIFF's T4Options; they count in Group 3 alone.

    Raises:
        ValueError: It is not.
    """
    bits, changes = _Bits(data), list[int]()
    for row in range(rows):
        try:
            changes = _row(bits, changes, width, compression, options)
        except _Damage as damage:
            raise ValueError(f"its fax code is damaged: row {row} {damage}") from None
    if compression == GROUP_4 and bits.hold_rows():
        raise ValueError("its fax code is damaged: it goes on behind the last row")


class _Damage(Exception):
    """What is wrong with a row."""


class _Bits:
    """Reads codes one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.end = data + bytes(4), 0, 8 * len(data)

    def peek(self, count: int) -> int:
        """Return the next bits, at most 24, with zeros behind the end."""
        first, within = divmod(self.at, 8)
        return int.from_bytes(self.data[first : first + 4], "big") >> 32 - within - count & (1 << count) - 1

    def next(self, table: _Table, longest: int) -> int:
        """Return what the next code means."""
        size, meaning = table[self.peek(longest)]
        self.at += size
        if not size or self.at > self.end:
            raise _Damage("is cut off" if self.at >= self.end else "holds bits that are no code")
        return meaning

    def run(self, colour: int) -> int:
        """Return the length of the next run: colour 0 is white, 1 black."""
        total = length = self.next(_runs(colour), _LONGEST_RUN)
        while length >= 64:
            length = self.next(_runs(colour), _LONGEST_RUN)
            total += length
        return total

    def skip_mark(self) -> bool:
        """Pass over the mark between rows, eleven zeros or more and a one, if it comes next; say whether it did."""
        if self.peek(11):
            return False
        found = _NOT_ZERO.search(self.data, self.at // 8 + 1)  # the rest of this byte is zeros
        self.at = 8 * found.start() + 9 - found[0][0].bit_length() if found else self.end
        return True

    def align(self, unit: int) -> None:
        """Go on at the next multiple of so many bits."""
        self.at += -self.at % unit

    def hold_rows(self) -> bool:
        """Say whether something stands between here and the mark at the end, if there is one."""
        rest = int.from_bytes(self.data[self.at // 8 :], "big") & (1 << 32 + self.end - self.at) - 1
        without_padding = rest >> (rest & -rest).bit_length() - 1 if rest else 0
        return without_padding & 0xFFFFFF == _END != without_padding


def _row(bits: _Bits, above: list[int], width: int, compression: int, options: int) -> list[int]:
    """Read one row; return the places where its colour changes, white being the first."""
    if compression == GROUP_4:
        return _by_row_above(bits, above, width)
    if compression == GROUP_3 and bits.skip_mark() and options & _TWO_DIMENSIONAL and not bits.next(_BIT, 1):
        return _by_row_above(bits, above, width)
    bits.align({BYTE_ROWS: 8, WORD_ROWS: 16}.get(compression, 1))
    return _by_runs(bits, width)


def _by_runs(bits: _Bits, width: int) -> list[int]:
    changes, at = list[int](), 0
    while at < width:
        at = _after_run(bits, changes, at)
    _check_width(at, width)
    return changes


def _by_row_above(bits: _Bits, above: list[int], width: int) -> list[int]:
    """Read a row that is described by where the row above it changes."""
    above = [*above, width, width, width]
    changes, at, i = list[int](), -1, 0
    while at < width:
        # `i` is that of the next change above that is to the other colour than this row has now.
        while above[i] <= at and above[i] < width:
            i += 2
        mode = bits.next(_modes(), _LONGEST_MODE)
        if mode == _HORIZONTAL:
            at = _after_run(bits, changes, _after_run(bits, changes, max(at, 0)))
        elif mode == _PASS:
            at = above[i + 1]
            if at == width:
                raise _Damage("passes over its end")
        else:
            if above[i] + mode <= at:
                raise _Damage("runs backwards")
            at = above[i] + mode
            _change(changes, at)
            i = i - 1 if i else 1
    _check_width(at, width)
    return changes


def _after_run(bits: _Bits, changes: list[int], at: int) -> int:
    """Read a run that begins at a place; return where the next one begins."""
    at += bits.run(len(changes) % 2)
    _change(changes, at)
    return at


def _change(changes: list[int], at: int) -> None:
    """Note a change of colour; two at one place are none."""
    if changes and changes[-1] == at:
        changes.pop()
    else:
        changes.append(at)


def _check_width(at: int, width: int) -> None:
    if at != width:
        raise _Damage(f"has {at} pixels of {width}")


@functools.cache
def _runs(colour: int) -> _Table:
    codes = ((_WHITE, _BLACK)[colour] + _LONG).split()
    return _table({code: i if i < 64 else 64 * (i - 63) for i, code in enumerate(codes)}, _LONGEST_RUN)


@functools.cache
def _modes() -> _Table:
    return _table(_MODES, _LONGEST_MODE)


def _table(meanings: dict[str, int], longest: int) -> _Table:
    table = [(0, 0)] * (1 << longest)
    for code, meaning in meanings.items():
        free = longest - len(code)
        first = int(code, 2) << free
        table[first : first + (1 << free)] = [(len(code), meaning)] * (1 << free)
    return table
