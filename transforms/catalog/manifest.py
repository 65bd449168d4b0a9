"""What a pair is, and the rules that a row of a manifest must keep."""

import dataclasses
import functools
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from hdnet.transforms import storage
from hdnet.transforms.catalog.rows import FILES, RESERVED, FailureRow
from hdnet.transforms.codecs.table import SUFFIXES
from hdnet.transforms.errors import ManifestError, StorageError

REQUIRED = ("id", "composite", "mask")
COLUMNS = ("id", *FILES, "mask_value", "invert_mask")
"""Columns that make a pair; the last two say of it what --mask-value and --invert-mask say of all."""
_MAY_LACK = frozenset({"reference", "mask_value", "invert_mask", "strength"})
_MISSING = frozenset({"", "nan", "na", "n/a", "<na>", "null", "none"})
"""What programs write for a missing value, apart from upper and lower case."""

STRENGTH = "strength"
"""An optional column of a manifest, which is passed on to the metrics like those that mean nothing to us."""

_NOT_UTF8 = (re.compile("[\ud800-\udfff]"), "is not UTF-8: save the manifest as UTF-8")
_CONTROL = (re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]"), "has a control character")
_CHAINED = (re.compile("::"), 'has "::", which would open one file system inside another')
_ID_RULES = (
    _NOT_UTF8,
    _CONTROL,
    _CHAINED,
    (re.compile(r"\\"), "has a backslash"),
    (re.compile(r"^(/|[A-Za-z]:/)"), "is an absolute path"),
    (re.compile(r"(^|/)\.\.(/|$)"), 'leaves the output folder by ".."'),
    (re.compile(r"//|/$"), "has an empty name between slashes"),
    (re.compile(r"(^|/)[\s.]|[\s.](/|$)"), "has a name that begins or ends with a space or a dot"),
    (re.compile(r"(^|/)(con|prn|aux|nul|com\d|lpt\d)(\.[^/]*)?(/|$)", re.I), "has a name that Windows reserves"),
    # The image of "a" is the file a.jpg, which must not be the folder of "a.jpg/b".
    (re.compile(rf"({'|'.join(map(re.escape, sorted(SUFFIXES)))})/", re.I), "has a folder named like an image"),
)
_URI_RULES = (_NOT_UTF8, _CONTROL, _CHAINED, (re.compile(r"^\s|\s$"), "begins or ends with a space"))
_NAME_RULES = (_NOT_UTF8, _CONTROL, (re.compile(r"^\s|\s$|^$"), "is empty, or begins or ends with a space"))
Rules = Sequence[tuple[re.Pattern[str], str]]

MAX_NAME = 200
"""Bytes. File systems allow 255, and there must be room for the suffix and the marks of a temporary name."""
MAX_ID = 800
"""Bytes. Object stores allow 1024, and there must be room for the output's prefix."""
MAX_URI = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """A composite with its mask and, if there is one, the real photo it was made from.

    Attributes:
        id: Unique within the manifest, such as "HCOCO/c101_204_2".
        composite: URI of the composite.
        mask: URI of the mask.
        reference: URI of the real photo, or None.
        mask_value: The value of the mask that is the foreground; None where the row does not say.
        invert_mask: Whether the mask shows the background; None where the row does not say.
        extra: Further columns by name, as text, which pass through to the metrics.
        source: The row it was read from, such as "pairs.csv, line 7". It does not count when pairs are compared.
    """

    id: str
    composite: str
    mask: str
    reference: str | None = None
    mask_value: int | None = None
    invert_mask: bool | None = None
    extra: tuple[tuple[str, str | None], ...] = ()
    source: str = dataclasses.field(default="", compare=False)

    @property
    def group(self) -> str:
        """The sub-dataset: the id's first folder, "" without one."""
        return self.id.rpartition("/")[0].partition("/")[0]

    @property
    def strength(self) -> float | None:
        """Share of the change that is applied, 0 to 1, from the column `STRENGTH`; None where the row has none."""
        value = dict(self.extra).get(STRENGTH)
        return None if value is None else float(value)

    def failure(self, stage: str, error: Exception) -> FailureRow:
        """Return the row that says that the pair failed in `stage`."""
        return FailureRow(
            id=self.id, composite=self.composite, mask=self.mask, reference=self.reference, source=self.source,
            stage=stage, error=type(error).__name__, message=str(error), failed_at=datetime.now(UTC),
        )  # fmt: skip


def parse(row: Mapping[str, object], base: str, source: str) -> Pair:
    """Make a pair from a row of text (CSV), JSON values (JSONL) or any values (Parquet).

    An empty text is a missing value, and so is NaN, which pandas writes for them; in the columns of a pair that may
    lack a value, words such as "nan" and "NULL" are, too. Extra columns become text, because their types must be the
    same in the metrics of every run: text stays as it is, and everything else becomes JSON.

    Args:
        row: Values by column.
        base: The folder that relative URIs start from.
        source: Where the row was read, for messages.

    Raises:
        ManifestError: The row breaks a rule; the message names the source and the value.
    """
    row = {name: None if _is_missing(name, value) else value for name, value in row.items()}
    try:
        _check_names(tuple(row))
        return Pair(
            id=_id(row),
            composite=_uri(row, "composite", base),
            mask=_uri(row, "mask", base),
            reference=_uri(row, "reference", base) if row.get("reference") is not None else None,
            mask_value=_mask_value(row.get("mask_value")),
            invert_mask=_invert_mask(row.get("invert_mask")),
            extra=tuple((name, _extra(name, value)) for name, value in row.items() if name not in COLUMNS),
            source=source,
        )
    except (ManifestError, StorageError) as error:
        raise ManifestError(f"{source}: {error}") from error


def failure(row: Mapping[str, object], source: str, message: str) -> FailureRow:
    """Return the row that says that a row of a manifest is not a pair.

    Args:
        row: What could be read of it. Its id is made safe to store.
        source: Where it was read, such as "pairs.csv, line 7".
        message: What is wrong, beginning with the source.
    """
    value = row.get("id")
    safe = value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else ""
    return FailureRow(
        id=safe or None, source=source, stage="manifest", error=ManifestError.__name__, message=message,
        failed_at=datetime.now(UTC),
    )  # fmt: skip


def check_header(columns: Sequence[str]) -> None:
    """Check the columns of a table.

    Raises:
        ManifestError: A required one is missing, or a name is empty, malformed, repeated, or one of `RESERVED`.
    """
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        hint = _hint(columns)
        raise ManifestError(f"no column {', '.join(missing)}; it has {show(', '.join(columns))}{hint and f': {hint}'}")
    if columns[0] == "":
        raise ManifestError("the first column has no name, as where pandas writes its index: write it with index=False")
    check_names(columns)


def check_names(columns: Iterable[str]) -> None:
    """Check the names of columns. They must differ by more than case, because some readers of Parquet ignore it.

    Raises:
        ManifestError: As for `check_header`, except that no column is required.
    """
    seen = dict.fromkeys(RESERVED, "a column of the metrics")
    for name in columns:
        _keep(_NAME_RULES, "column name", name, MAX_NAME)
        if clash := seen.get(name.casefold()):
            raise ManifestError(f"column {show(name)} is {clash}; rename it")
        seen[name.casefold()] = "used twice, apart from upper and lower case"


def fold(identity: str) -> str:
    """Return a key that two ids share if some disk would give their images the same name.

    Disks may ignore case and compose accents. The suffix follows the whole id, so the images of "a" and "a.png" are two
    files, a.jpg and a.png.jpg.
    """
    if identity.isascii():
        return identity.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", identity).casefold())


def show(value: object) -> str:
    """Return a value for a message: on one line, printable and not too long, whatever it holds."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text)} characters)"


def _hint(columns: Sequence[str]) -> str:
    """Say why columns may be missing; "" where that is not known."""
    first = columns[0] if columns else ""
    if first.startswith("sep="):
        return "its first line is Excel's mark of the separator: remove that line"
    if {name.strip() for name in columns}.issuperset(REQUIRED):
        return "the column names begin with spaces, or end with them: write no spaces beside the commas"
    if {name.strip().lower() for name in columns}.issuperset(REQUIRED):
        return "column names are written in lower case"
    if {"".join(filter(str.isascii, name)).strip() for name in columns}.issuperset(REQUIRED):
        return "the column names hold characters that cannot be seen, or curly quotes: type them again"
    if mark := next((mark for mark in ";\t|," if mark in first), None):
        return f"{mark!r} where {'tabs' if mark == ',' else 'commas'} are wanted"
    if first and not any(columns[1:]) and first not in REQUIRED:
        return "its first line must name the columns, and no title, which Numbers writes there, or remark"
    return ""


# A manifest has few different headers. Refusals are not cached.
_check_names = functools.lru_cache(maxsize=64)(check_names)


def _is_missing(name: str, value: object) -> bool:
    if name in _MAY_LACK and isinstance(value, str):
        return value.lower() in _MISSING
    return bool(value != value) or value == ""


def _id(row: Mapping[str, object]) -> str:
    value = row.get("id")
    number = isinstance(value, int) and not isinstance(value, bool)
    identity = str(value) if number else _text(row, "id")
    _keep(_ID_RULES, "id", identity, MAX_ID)
    if len(identity) * 4 > MAX_NAME and any(len(name.encode()) > MAX_NAME for name in identity.split("/")):
        raise ManifestError(f"id {show(identity)} has a name of more than {MAX_NAME} bytes")
    return identity


def _uri(row: Mapping[str, object], name: str, base: str) -> str:
    uri = _text(row, name)
    _keep(_URI_RULES, name, uri, MAX_URI)
    scheme, mark, _ = uri.partition("://")
    known = storage.SCHEMES | storage.READ_ONLY
    if mark and scheme not in known:
        allowed = ", ".join(f"{name}://" for name in sorted(known))
        raise ManifestError(f"{name} {show(uri)} is neither a path nor one of {allowed}")
    return storage.join(base, uri)


def _text(row: Mapping[str, object], name: str) -> str:
    value = row.get(name)
    if value is None:
        raise ManifestError(f"no {name}")
    if not isinstance(value, str):
        raise ManifestError(f"{name} must be text, not {type(value).__name__}: {show(value)}")
    return value


def _extra(name: str, value: object) -> str | None:
    text = _plain(name, value)
    if name == STRENGTH and text is not None and not _is_share(text):
        raise ManifestError(f"{STRENGTH} {show(text)} is not a number from 0 to 1")
    return text


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def _mask_value(value: object) -> int | None:
    if value is None:
        return None
    text = str(value).removesuffix(".0")  # pandas makes a column of whole numbers with gaps one of floats
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 65535:
        raise ManifestError(f"mask_value must be a whole number from 0 to 65535, not {show(value)}")
    return int(text)


def _invert_mask(value: object) -> bool | None:
    if value is None:
        return None
    answer = {"true": True, "1": True, "false": False, "0": False}.get(str(value).removesuffix(".0").lower())
    if answer is None:
        raise ManifestError(f"invert_mask must be true or false, not {show(value)}")
    return answer


def _plain(name: str, value: object) -> str | None:
    if value is None:
        return None

    def as_text(inner: object) -> str:
        if isinstance(inner, bytes):
            raise ManifestError(f"column {show(name)} holds bytes, which the metrics cannot: {show(inner)}")
        return str(inner)

    encoded = isinstance(value, bool | int | float | list | dict)
    text = json.dumps(value, default=as_text, ensure_ascii=False) if encoded else as_text(value)
    _keep((_NOT_UTF8,), show(name), text)
    return text


def _keep(rules: Rules, name: str, text: str, limit: int | None = None) -> None:
    for pattern, reason in rules:
        if pattern.search(text):
            raise ManifestError(f"{name} {show(text)} {reason}")
    if limit and len(text) * 4 > limit and len(text.encode()) > limit:
        raise ManifestError(f"{name} {show(text)} has more than {limit} bytes")
