"""Where ImageNet weights come from: a server's file, or a package for machines that reach an index and no model hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from plainfilm.errors import DataError


@dataclass(frozen=True)
class WeightsFile:
    """Where ImageNet weights come from: a torch hub file, or a Hugging Face hub repository with either file name.

    `mb`: size of the download. The eight hex digits in a torch hub name are the start of the file's SHA-256.
    """

    mb: float
    torch_hub: str = ""
    hugging_face: str = ""

    @property
    def host(self) -> str:
        """The server it comes from."""
        return "download.pytorch.org" if self.torch_hub else "huggingface.co"

    @property
    def name(self) -> str:
        """Its name in messages."""
        return self.torch_hub or f"{self.hugging_face}/model.safetensors"

    @property
    def url(self) -> str:
        """Its address for a browser or curl."""
        if self.torch_hub:
            return f"https://{self.host}/models/{self.torch_hub}"
        return f"https://{self.host}/{self.hugging_face}/resolve/main/model.safetensors"

    @property
    def sha256_prefix(self) -> str:
        """The start of its SHA-256; '' where the name does not contain it."""
        found = re.search(r"-([0-9a-f]{8,})\.", self.torch_hub)
        return found[1] if found else ""


@dataclass(frozen=True)
class WeightsPackage:
    """A distribution with one weights file. It is never imported: the index of its files says where that one lies.

    `sha256`: of the file, hexadecimal; no other content is taken.
    """

    name: str
    version: str
    file: str
    sha256: str

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"pip install {self.name}=={self.version}"

    def path(self) -> Path | None:
        """The installed file, whose content is not read here; None where the package is not installed.

        Raises:
            DataError: another version is installed, or the file is missing from it.
        """
        try:
            found = distribution(self.name)
        except PackageNotFoundError:
            return None
        path = _file_of(found, self.file)
        if found.version != self.version or path is None:
            what = f"version {found.version}" if found.version != self.version else f"none of its {self.file}"
            raise DataError(f"{self.name} {self.version} is expected, found {what}. {self._again}")
        return path

    def check(self, path: Path, sha256: str) -> None:
        """Raises DataError where the hash of the file that was found is not the package's."""
        if sha256 != self.sha256:
            raise DataError(
                f"{path} is damaged: its SHA-256 begins with {sha256[:8]}, not {self.sha256[:8]}. {self._again}"
            )

    @property
    def _again(self) -> str:
        return f"Install it again: {self.install} --force-reinstall --no-deps"


def _file_of(found: Distribution, name: str) -> Path | None:
    listed = [each for each in found.files or () if each.name == name]
    path = Path(str(found.locate_file(listed[0]))) if listed else None
    return path if path is not None and path.is_file() else None
