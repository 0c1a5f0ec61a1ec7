"""The smallest files of each kind, by the first bytes that show what they are."""

from base64 import b64decode, b64encode

PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
"""A whole image of one pixel."""
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")
MP4 = bytes.fromhex("00000018667479706d703432000000006d70343269736f6d")
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00"
PDF = b"%PDF-1.7\n"


def base64_of(data: bytes) -> str:
    return b64encode(data).decode()


def data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64_of(data)}"
