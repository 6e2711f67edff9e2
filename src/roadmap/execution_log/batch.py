"""A batch of entries as it travels: a JSON array, compressed when that is worth it."""

import base64
import binascii
import zlib
from dataclasses import dataclass
from uuid import NAMESPACE_URL, UUID, uuid5

__all__ = ["Batch", "Unreadable", "batch_uuid", "job_id", "pack", "unpack"]

COMPRESS_ABOVE = 512  # bytes; below, the frame costs more than it saves
UNPACKED_LIMIT = 64_000_000  # bytes; our own batches stay below 7 MB


class Unreadable(ValueError):
    """A payload that no recorder wrote."""


@dataclass(frozen=True, slots=True)
class Batch:
    """`text` is a JSON array of entries."""

    id: UUID
    text: str


def job_id(batch: UUID) -> str:
    return f"log:{batch}"


def batch_uuid(job: str) -> UUID:
    """The batch that a job carries; a job that is not ours gets an id that is the same at each delivery."""
    try:
        return UUID(job.removeprefix("log:"))
    except ValueError:
        return uuid5(NAMESPACE_URL, job)


def pack(text: str) -> str:
    """The payload of a job: the array itself, or `z` and its zlib stream in base64."""
    plain = text.encode()
    if len(plain) <= COMPRESS_ABOVE:
        return text
    return "z" + base64.b64encode(zlib.compress(plain, level=1)).decode()


def unpack(payload: str) -> str:
    """The array in a payload. Raises Unreadable."""
    text = _inflate(payload[1:]) if payload.startswith("z") else payload.strip()
    if not (text.startswith("[") and text.endswith("]")):
        raise Unreadable("not an array")
    return text


def _inflate(payload: str) -> str:
    try:
        stream = zlib.decompressobj()
        plain = stream.decompress(base64.b64decode(payload, validate=True), UNPACKED_LIMIT)
        text = plain.decode()
    except (ValueError, binascii.Error, zlib.error) as exc:
        raise Unreadable(f"damaged: {exc}") from exc
    if not stream.eof:
        raise Unreadable("cut short, or too long")
    return text
