"""What a file says about its image in its first kilobytes: size, format and depth, before any pixel is decoded."""

import io
from typing import BinaryIO

from hdnet.transforms import errors
from hdnet.transforms.codecs import bounded, table
from hdnet.transforms.codecs.picture import Header

_DEPTHS = (1, 2, 4, 8, 16)

# What else is found under the name of an image, by how it begins, and what to do about it.
_RAW, _VIDEO = "a camera raw file: develop it first", "a video: export a frame as PNG"
_OTHERS = {
    b"version https://git-lfs": "a Git LFS pointer: run git lfs pull where it comes from",
    b"<svg": "an SVG drawing: export it as PNG",
    b"<": "a web page or XML: download the image itself",
    b"{": "JSON, perhaps a server's error: download the image again",
    b"[": "JSON, perhaps a list of polygons: draw the mask as PNG",
    b"%PDF": "a PDF: export its image",
    b"%!PS": "PostScript: export its image",
    b"8BPS": "a Photoshop document: export it as TIFF",
    b"gimp xcf": "a GIMP document: export it as PNG",
    b"\0\0\1\0": "an icon: export it as PNG",
    bytes(16): "nothing but zeros: copy the file again",
    b"\x93NUMPY": "a NumPy array: save it as PNG",
    b"PK\3\4": "a ZIP archive, or an .npz, .ora or .kra file: take the image out of it",
    b"\x1f\x8b": "compressed with gzip: unpack it",
    b"\0\5\x16\7": "a Mac's record about another file (AppleDouble): leave it out",
    b"iVBORw0K": "a PNG in base64: decode it",
    b"/9j/": "a JPEG in base64: decode it",
    b"data:image": "a data URI: decode it",
    b"\x89PNG\r\r\n": "a PNG that was sent as text, which changed its bytes: send it as binary",
    b"\x89PNG\n": "a PNG that was sent as text, which changed its bytes: send it as binary",
    b"P4": "a PBM: convert it to PNG",
    b"P5": "a PGM: convert it to PNG",
    b"P6": "a PPM: convert it to PNG",
    b"v/1\1": "an OpenEXR: convert it to TIFF with 16 bits",
    b"#?RADIANCE": "a Radiance HDR: convert it to TIFF with 16 bits",
    b"IIRO": _RAW,
    b"IIRS": _RAW,
    b"MMOR": _RAW,
    b"IIU\0": _RAW,
    b"FUJIFILMCCD-RAW": _RAW,
    b"FOVb": _RAW,
    b"\xff\x0a": "a JPEG XL: convert it",
    b"\0\0\0\x0cJXL ": "a JPEG XL: convert it",
    b"\0\0\0\x0cjP  ": "a JPEG 2000: convert it",
}

# And by its brand, where it is made of boxes as AVIF and HEIC are.
_BRANDS = {b"crx ": _RAW, b"qt  ": _VIDEO, b"mp41": _VIDEO, b"mp42": _VIDEO, b"isom": _VIDEO, b"M4V ": _VIDEO,
           b"3gp4": _VIDEO, b"3gp5": _VIDEO}  # fmt: skip


def read(source: bytes | BinaryIO, name: str) -> Header:
    """Read an image's header. No pixel is decoded, and no memory is allocated because a file claims something.

    Args:
        source: The file's bytes, or a seekable binary file. For JPEG, PNG, WebP, AVIF, GIF and BMP the first bytes
            are enough (64 KiB nearly always); a TIFF's directory may be at its end, and HEIC is read whole. EXIF that
            stands behind the pixels (WebP, some PNG) shows only in the whole file.
        name: What to call the image in an error message, usually its URI.

    Raises:
        DecodeError: The file is empty, of no format in the table, truncated in its header, without pixels, or of a
            depth other than 1, 2, 4, 8 or 16 bits; or it needs a library that is not installed.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    codec = table.sniff(file)
    if codec is None:
        raise _unknown(file, name)
    try:
        header = codec.header(file)
    except (ValueError, IndexError) as error:
        wrong = bounded.in_words(error)
        raise errors.DecodeError(f"{name} has a broken {codec.name} header ({wrong}): export the file again") from error
    except errors.DecodeError as error:
        raise errors.DecodeError(f"{name} {error}") from error
    if not header.pixels:
        raise errors.DecodeError(f"{name} is {header.width} x {header.height}, it has no pixels: export the file again")
    if header.bits not in _DEPTHS:
        raise errors.DecodeError(f"{name} has {header.bits} bits a channel: save it with 8 or 16")
    return header


def check_size(header: Header, name: str, max_pixels: int) -> None:
    """Refuse an image that is too large to be decoded.

    Raises:
        SizeError: It has more than `max_pixels` pixels.
    """
    if header.pixels > max_pixels:
        raise errors.SizeError(
            f"{name} claims {header.width} x {header.height} = {header.pixels} pixels, more than the {max_pixels} "
            "allowed: make it smaller or raise --max-pixels"
        )


def check_reference(reference: tuple[int, int], composite: tuple[int, int], name: str) -> None:
    """Refuse a reference that does not have its composite's size.

    Args:
        reference: Height and width of the reference.
        composite: Height and width of its composite.
        name: What to call the reference, usually its URI.

    Raises:
        ShapeError: The sizes differ.
    """
    if reference != composite:
        sizes = f"is {reference[1]} x {reference[0]}, its composite {composite[1]} x {composite[0]}"
        raise errors.ShapeError(f"the reference {name} {sizes}: give one of the same size, or none")


def _unknown(file: BinaryIO, name: str) -> errors.DecodeError:
    file.seek(0)
    start = file.read(32)
    if not start:
        return errors.DecodeError(f"{name} is empty (0 bytes): write the file again")
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t")
    other = next((words for begins, words in _OTHERS.items() if text.startswith(begins)), "another file: convert it")
    if start[4:8] == b"ftyp":
        other = _BRANDS.get(start[8:12], other)
    return errors.DecodeError(f"{name} is not a {table.TITLES} (it begins with {start[:16]!r}), but {other}")
