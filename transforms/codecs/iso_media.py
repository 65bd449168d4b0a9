"""What AVIF and HEIC have in common: the brands that a file begins with, and the codes of its colours."""

from hdnet.transforms import errors

# Of ITU-T H.273. Unspecified, BT.709 and the primaries of old television are read as sRGB, as every viewer does.
_PRIMARIES = frozenset({1, 2, 5, 6, 7})
_TRANSFERS = frozenset({1, 2, 6, 13, 14, 15})
_HDR = {16: "PQ", 18: "HLG"}


def brands(start: bytes) -> frozenset[bytes]:
    """Return the brands that a file's first bytes name, the major one and those it is compatible with."""
    if start[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(start[:4], "big"), len(start))
    return frozenset(start[at : at + 4] for at in (8, *range(16, end, 4)))


def check_colours(primaries: int, transfer: int) -> None:
    """Refuse colours that are not near sRGB and have no ICC profile, which would be lost when they are written.

    Raises:
        DecodeError: Such as for HDR; the message lacks the file's name at its beginning.
    """
    if transfer in _HDR:
        raise errors.DecodeError(f"is an HDR image ({_HDR[transfer]}): export it in standard range (SDR)")
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        raise errors.DecodeError(
            f"has colour primaries {primaries} and transfer {transfer} of ITU-T H.273 and no ICC profile: "
            "export it as sRGB or with a profile"
        )
